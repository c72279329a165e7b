"""Circuit tasks: what they declare, need, and refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_tasks import TASK, evaluate, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.errors import (
    OptionError,
    TaskDataError,
)
from harness_circuits.harness.lm import CircuitLM

SIZES = "0.01:0.1:0.5:1"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def task_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"))


def circuit_lm(model_folder: Path, **arguments: Any) -> CircuitLM:
    return CircuitLM(pretrained=str(model_folder), sizes=SIZES, **arguments)


@pytest.fixture(scope="module")
def results(model_folder: Path, task_folder: Path) -> dict[str, Any]:
    return evaluate(circuit_lm(model_folder), [TASK], task_folder)


def test_directions_are_declared(results: dict[str, Any]) -> None:
    directions = results["higher_is_better"][TASK]
    assert directions["cpr"] is True
    assert directions["faithfulness@0.1"] is True
    assert directions["cmd"] is directions["cmd_log"] is directions["edges@0.1"] is False
    assert "corrupted_metric" not in directions


@pytest.mark.parametrize("number", [5, -1, 2**70, 1.5, True, "1"])
def test_a_document_that_there_is_not_is_named(
    model_folder: Path, task_folder: Path, number: Any
) -> None:
    with pytest.raises(OptionError) as caught:
        evaluate(circuit_lm(model_folder), [TASK], task_folder, samples={TASK: [1, number]})
    assert str(caught.value) == f"--samples: {TASK} has documents 0 to 4, got {number!r}."


def test_a_task_needs_a_training_split(model_folder: Path, tmp_path: Path) -> None:
    folder = write_task(tmp_path)
    path = folder / f"{TASK}.yaml"
    path.write_text(path.read_text().replace("training_split: train\n", ""))
    with pytest.raises(TaskDataError, match="needs a training_split"):
        evaluate(circuit_lm(model_folder), [TASK], folder)
