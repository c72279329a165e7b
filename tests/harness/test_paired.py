"""Tasks with pairs: checked together before any runs, and named where they cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_tasks import TASK, documents, evaluate, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.errors import (
    NumericalError,
    PairError,
)
from harness_circuits.harness.lm import CircuitLM

SIZES = "0.01:0.1:0.5:1"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


def circuit_lm(model_folder: Path, **arguments: Any) -> CircuitLM:
    return CircuitLM(pretrained=str(model_folder), sizes=SIZES, **arguments)


def broken(**changes: Any) -> list[dict[str, Any]]:
    docs = documents(1, 3)
    return [docs[0], {**docs[1], **changes}, docs[2]]


DATA = [
    (
        {"choices": [" Mary", " Mary"]},
        PairError,
        "tiny_ioi (test split), pair 1: A pair cannot be used: two choices are the same",
    ),
    ({"correct": [0, 1]}, PairError, "both correct and incorrect"),
    ({"correct": [7]}, PairError, "answer index 7 is not among its 2 choices"),
]


@pytest.mark.parametrize(("changes", "error", "message"), DATA)
def test_a_pair_that_cannot_be_used_is_named(
    model_folder: Path, tmp_path: Path, changes: dict[str, Any], error: Any, message: str
) -> None:
    folder = write_task(tmp_path, test=broken(**changes))
    lm = circuit_lm(model_folder)
    before = dict(lm.circuit_model.counts)
    with pytest.raises(error) as caught:
        evaluate(lm, [TASK], folder)
    assert message in str(caught.value)
    assert dict(lm.circuit_model.counts) == before


def test_a_mistake_in_the_second_task_stops_the_first(model_folder: Path, tmp_path: Path) -> None:
    write_task(tmp_path)
    write_task(tmp_path, task="broken", test=broken(correct=[7]))
    lm = circuit_lm(model_folder)
    with pytest.raises(PairError, match="broken"):
        evaluate(lm, [TASK, "broken"], tmp_path)
    assert lm.circuit_model.counts["backward"] == 0


def test_a_corruption_that_changes_nothing_has_no_faithfulness(
    model_folder: Path, tmp_path: Path
) -> None:
    docs = [{**d, "corrupted": d["clean"].replace("drink to", "drink in")} for d in documents(0, 3)]
    same = [{**doc, "choices": [" zebra", " Tom"]} for doc in docs]
    folder = write_task(tmp_path, train=same, test=same)
    lm = circuit_lm(model_folder)
    weights = lm.circuit_model.hf.lm_head.weight
    weights.data[:] = weights.data[:1]
    with pytest.raises(NumericalError, match="All scores are zero"):
        evaluate(lm, [TASK], folder)
