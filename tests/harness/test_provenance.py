"""What results say was done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tiny_tasks import TASK, evaluate, write_task
from helpers.tiny_tokenizer import save_tiny_model

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


def test_provenance_says_what_was_done(results: dict[str, Any], model_folder: Path) -> None:
    config = results["config"]
    circuit = config["circuit"]
    assert circuit["model"] == model_folder.name
    assert circuit["graph"]["n_edges"] == 110
    assert circuit["settings"]["method"] == "EAP-IG-inputs"
    assert circuit["settings"]["method_options"] == {"ig_steps": 5, "ig_rule": "left"}
    assert set(circuit["versions"]) == {
        "harness_circuits",
        "torch",
        "transformers",
        "transformer_lens",
        "lm_eval",
    }
    task = circuit["tasks"][TASK]
    assert (task["n_discovery"], task["n_evaluation"]) == (6, 5)
    assert task["discovery_seconds"] > 0
    assert task["scores"]["passes"]["backward"] > 0
    curve = task["curves"]["absolute"]
    assert curve["sizes"] == [0.01, 0.1, 0.5, 1.0]
    lows, highs = np.array(curve["ci95_low"]), np.array(curve["ci95_high"])
    assert (lows <= np.array(curve["faithfulness"]) + 1e-12).all()
    assert (highs >= np.array(curve["faithfulness"]) - 1e-12).all()
    json.dumps(results["config"])
