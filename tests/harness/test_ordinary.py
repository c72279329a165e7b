"""Ordinary lm-eval tasks on a circuit: equal to `--model hf` at full size, refused without a circuit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.ordinary_runs import TEXTS, lm
from helpers.ordinary_tasks import SHAPES, furthest, responses, write_ordinary_tasks
from helpers.random_circuits import random_circuit
from helpers.tiny_tasks import evaluate
from helpers.tiny_tokenizer import save_tiny_model
from lm_eval.models.huggingface import HFLM

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.formats import save_circuit_file
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.loading.load import load_model
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.memory import installed_bytes_per_token


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    save_tiny_model(folder / "model", request.param)
    docs = [{"text": text, "choices": [" Mary", " red cat"], "label": 0} for text in TEXTS]
    write_ordinary_tasks(folder, docs)
    model = load_model(str(folder / "model"))
    save_circuit_file(folder / "full.safetensors", Circuit.full(ScoreSpace(model.graph)))
    save_circuit_file(folder / "part.safetensors", random_circuit(model))
    save_circuit_file(folder / "empty.safetensors", Circuit.empty(ScoreSpace(model.graph)))
    return folder


def close(left: dict[str, list[Any]], right: dict[str, list[Any]]) -> bool:
    return furthest(left, right) <= 1e-4


def test_the_full_circuit_is_the_hf_model(folder: Path) -> None:
    hf = HFLM(pretrained=str(folder / "model"), device="cpu", batch_size=3)
    expected = responses(hf, folder)
    assert close(responses(lm(folder, "full", batch_size=3), folder), expected)
    assert not close(responses(lm(folder, "part", batch_size=3), folder), expected)


READING = [
    {"add_bos_token": True},
    {"add_bos_token": False},
    {"prefix_token_id": 5},
    {"max_length": 9},
]


@pytest.mark.parametrize("options", [READING[0] | READING[3], READING[1] | READING[2]])
def test_prompts_are_read_as_hf_reads_them(folder: Path, options: dict[str, Any]) -> None:
    hf = HFLM(pretrained=str(folder / "model"), device="cpu", **options)
    assert close(responses(lm(folder, "full", **options), folder), responses(hf, folder))


def test_compat_mib_is_of_pairs_alone(folder: Path) -> None:
    """Its ablation is patching, so that neither means nor tasks without pairs are read under it."""
    with pytest.raises(OptionError, match=r"^compat=mib .* ablation=mean, direction=noising\.$"):
        lm(folder, "full", compat="mib", ablation="mean")
    published = {"compat": "mib", "ablation": "patching"}
    for more in ({}, {"calibration": "ioi_circuit"}):
        with pytest.raises(OptionError, match=r"^ablation=patching cannot be used for tasks with"):
            evaluate(lm(folder, "full", **published, **more), ["choice"], folder)


def test_batch_size_changes_nothing(folder: Path) -> None:
    one = responses(lm(folder, "part", batch_size=1), folder)
    assert close(responses(lm(folder, "part", batch_size=4), folder), one)


def test_calls_beyond_max_memory_are_run_in_parts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    call = InstalledCircuit.__call__

    def noting(self: InstalledCircuit, index: int, x: torch.Tensor, arguments: Any) -> torch.Tensor:
        seen.append(x.shape[0] * x.shape[1])
        return call(self, index, x, arguments)

    monkeypatch.setattr(InstalledCircuit, "__call__", noting)
    whole = lm(folder, "part", batch_size=4)
    expected = responses(whole, folder)
    assert whole.circuit.given is not None and max(seen) > 32
    (circuit,) = whole.circuit.given.fixed.values()
    per_token = installed_bytes_per_token(whole.circuit_model, circuit)
    seen.clear()
    found = responses(lm(folder, "part", batch_size=4, max_memory=per_token * 40), folder)
    assert max(seen) <= 32
    assert found["generation"] == expected["generation"]
    assert furthest(found, expected) <= 1e-5
    with pytest.raises(OptionError, match=r"One text of \d+ tokens needs .* Raise max_memory, or"):
        responses(lm(folder, "part", max_memory=per_token), folder)


def test_the_complement_of_nothing_is_the_model(folder: Path) -> None:
    full = responses(lm(folder, "full"), folder)
    assert close(responses(lm(folder, "empty", complement=True), folder), full)


@pytest.mark.parametrize("task", list(SHAPES))
def test_without_a_circuit_ordinary_tasks_are_refused(folder: Path, task: str) -> None:
    model = CircuitLM(pretrained=str(folder / "model"), device="cpu")
    with pytest.raises(OptionError, match=r"give circuit=FILE.*--model hf"):
        evaluate(model, [task], folder)


def test_an_automatic_batch_size_changes_nothing(folder: Path) -> None:
    expected = responses(lm(folder, "part", batch_size=1), folder)
    found = responses(lm(folder, "part", batch_size="auto", max_batch_size=4), folder)
    assert close(found, expected)
