"""What lm-eval answers with a traceback, or with exit code 0, is one line and exit code 1."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness_circuits.commands.main import main
from harness_circuits.errors import OptionError
from harness_circuits.harness.lm_eval_errors import find_tasks, read_config

MISSING = ["--model", "circuit", "--model_args", "pretrained=/there/is/no/such/model"]
TASK = ["--tasks", "ioi_circuit"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--config", "not_there.yaml"], "Config file not found: "),
        (["--log_samples"], "Specify --output_path if providing --log_samples"),
        (["--fewshot_as_multiturn", "true"], "When `fewshot_as_multiturn` is True, "),
        (["--include_path", "not_there"], "--include_path 'not_there': there is no such folder."),
        (["--include_path", "file"], "--include_path 'file': there is no such folder."),
        (["--output_path", "file"], "file cannot be written: File exists."),
        (["--output_path", "file/x.json"], "file cannot be written: File exists."),
        (["--output_path", "a\x00b"], "--output_path is a path, got 'a\\x00b': it holds a NUL"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    line: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("a file where a folder belongs")
    with pytest.raises(SystemExit) as caught:
        main([*MISSING, *TASK, *line])
    said = str(caught.value)
    assert said.startswith(f"harness-circuits: error: {message}")
    assert said.isprintable()


@pytest.mark.parametrize("option", ["--metadata", "--model_args"])
def test_json_that_is_none_is_an_argument_that_cannot_be_read(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*MISSING, *TASK, option, '{"pairs": my.jsonl}'])
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"error: argument {option}" in last and "Invalid JSON" in last


def failing(message: str) -> Any:
    def act(*args: Any) -> Any:
        raise ValueError(message)

    return act


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Tasks not found: ioi_circut, x",
            r"^--tasks: there is no task 'ioi_circut'\. Did you mean 'ioi_circuit'\? `harness-circ",
        ),
        ("Tasks not found: \x1b[31m", r"^--tasks: there is no task '\\x1b\[31m'\. `harness-circ"),
        ("two\nlines", r"^--tasks: two lines$"),
    ],
)
def test_tasks_that_there_are_not(message: str, line: str) -> None:
    with pytest.raises(OptionError, match=line):
        find_tasks(failing(message), SimpleNamespace(model="circuit"))  # type: ignore[arg-type]


def test_other_models_get_what_lm_eval_says() -> None:
    other: Any = SimpleNamespace(model="dummy")
    with pytest.raises(ValueError, match=r"^Tasks not found: ioi_circut$"):
        find_tasks(failing("Tasks not found: ioi_circut"), other)
    with pytest.raises(ValueError, match=r"^no such thing$"):
        read_config(failing("no such thing"), other)
