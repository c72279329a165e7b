"""What is typed on lm-eval's command line is what our runs are told."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.commands.main import main
from harness_circuits.errors import OptionError
from harness_circuits.harness.command_line import as_typed, read_text
from harness_circuits.harness.options import read_options
from harness_circuits.harness.patches import register
from harness_circuits.machine.interrupts import Interrupted

MISSING = "pretrained=/there/is/no/such/model"
NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
FULL_WIDTH, ARABIC = "\uff11\uff16", "\u0663"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a command line becomes, up to where lm-eval would run it."""
    register()
    from lm_eval._cli.run import Run
    from lm_eval.config.evaluate_config import EvaluatorConfig

    seen: list[Any] = []
    monkeypatch.setattr(Run, "_execute", staticmethod(seen.append))

    def read(*line: str) -> Any:
        assert main(["--tasks", "ioi_circuit", *line]) == 0
        return EvaluatorConfig.from_cli(seen[-1])

    return read


@pytest.mark.parametrize("text", ["0x10", "0o20", "0b1", "1_6", FULL_WIDTH, ARABIC])
@pytest.mark.parametrize("way", [["--model_args"], ["-a"], ["--model_args="]])
def test_no_number_is_made_of_what_is_none(typed: Any, text: str, way: list[str]) -> None:
    value = f"method=EAP,seed={text}"
    line = [f"{way[0]}{value}"] if way[0].endswith("=") else [*way, value]
    found = typed("--model", "circuit", *line).model_args
    assert found == {"method": "EAP", "seed": text}
    with pytest.raises(OptionError, match=rf"^seed is a whole number .*, got '{text}'\.$"):
        read_options(found)


def test_the_value_given_last_counts(typed: Any) -> None:
    assert typed("-a", "seed=0x10", "-a", "seed=3", "-M", "circuit").model_args == {"seed": 3}
    assert typed("-M", "circuit", "-a", "seed=3", "seed=0x10").model_args == {"seed": "0x10"}
    assert typed("-M", "circuit", "-a", '{"seed": 16}').model_args == {"seed": 16}


def test_metadata_too(typed: Any) -> None:
    assert typed("-M", "circuit", "--metadata", "n_train=0x10").metadata == {"n_train": "0x10"}


def test_other_models_are_told_what_lm_eval_reads(typed: Any) -> None:
    found = typed("--model", "dummy", "-a", "seed=0x10,size=1_0")
    assert found.model_args == {"seed": 16, "size": 10.0}
    assert found.device == "cuda:0"


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_plain_numbers_stay_numbers(number: float) -> None:
    assert as_typed(str(number), number) == number


@given(st.text(f"0123456789xob_.eE+-j {FULL_WIDTH}", max_size=6))
def test_a_text_in_python_is_a_plain_number_or_itself(text: str) -> None:
    (value,) = read_text(f"seed={text}").values()
    assert value == text.strip() or float(text) == value


@NO_GPU
def test_a_gpu_that_was_asked_for_is_not_replaced(typed: Any, tmp_path: Path) -> None:
    assert typed("-M", "circuit", "--device", "cuda:0").device == "cuda:0"
    file = tmp_path / "run.yaml"
    file.write_text("model: circuit\ntasks: [ioi_circuit]\ndevice: cuda:0\n")
    assert typed("--config", str(file)).device == "cuda:0"
    from lm_eval import simple_evaluate

    manager = sys.modules["lm_eval.tasks"].TaskManager(include_defaults=False)
    with pytest.raises(OptionError, match=r"^device='cuda:0' is no device of this machine"):
        simple_evaluate(model="circuit", tasks=["x"], device="cuda:0", task_manager=manager)


@pytest.mark.parametrize(
    ("line", "device"),
    [
        ([], "cuda:0" if torch.cuda.is_available() else "cpu"),
        (["-a", "device=meta"], "meta"),
        (["--device", "cpu"], "cpu"),
    ],
)
def test_the_device_is_the_one_that_runs(
    typed: Any, line: list[str], device: str, tmp_path: Path
) -> None:
    assert typed("--model", "circuit", *line).device == device
    file = tmp_path / "run.yaml"
    file.write_text("model: circuit\ntasks: [ioi_circuit]\n")
    assert typed("--config", str(file), *line).device == device


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_a_signal_ended_in_order_has_the_shells_code(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    from lm_eval._cli.run import Run

    def ended(arguments: Any) -> None:
        raise Interrupted(number)

    monkeypatch.setattr(Run, "_execute", staticmethod(ended))
    with pytest.raises(SystemExit) as left:
        main(["--model", "circuit", "--tasks", "ioi_circuit"])
    assert left.value.code == code and capsys.readouterr().err == ""
