"""A task whose name leads out of folders and repaints terminals, run for real."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from helpers.tiny_tasks import TASK, evaluate, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.harness.lm import CircuitLM
from harness_circuits.machine.outgoing import path_part
from harness_circuits.records.examples import read_examples
from harness_circuits.records.results_file import read_results

NAME = "../../ESCAPED\x1b[31m\u202e"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    file = write_task(folder) / f"{TASK}.yaml"
    file.write_text(file.read_text().replace(f"task: {TASK}\n", f"task: {json.dumps(NAME)}\n"))
    return folder


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_artifacts_and_log_of_a_run(
    model_folder: Path, task_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "deep" / "in" / "artifacts"
    before = files(tmp_path)
    lm = CircuitLM(pretrained=str(model_folder), sizes="0.1:1", method="EAP", artifacts=str(out))
    with caplog.at_level(logging.INFO, logger="lm_eval.circuit"):
        results = evaluate(lm, [NAME], task_folder)
    made = files(tmp_path) - before
    assert made and all(path.parent == out / path_part(NAME) for path in made)
    said = [r.getMessage() for r in caplog.records if r.name == "lm_eval.circuit"]
    assert any("ESCAPED\\x1b[31m\\u202e" in message for message in said)
    assert not any("\x1b" in message or "\u202e" in message for message in said)
    file = tmp_path / "results.json"
    results["config"]["circuit"].pop("checksum", None)  # of a run with another date
    file.write_text(json.dumps({**results, "date": 1.0}, default=str))
    reading = read_results([file])
    assert reading.skipped == ()
    (run,) = reading.runs
    assert read_examples(run).folder == out / path_part(NAME)
    assert "loglikelihood_diff" in run.whole_model and run.weights.fingerprint


def test_scores_of_a_discovery(model_folder: Path, task_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "in" / "artifacts"
    ordinary = tmp_path / "ordinary"
    ordinary.mkdir()
    write_task(ordinary)
    before = files(tmp_path)
    circuit = f"discover:{next(task_folder.glob('*.yaml'))}"
    lm = CircuitLM(
        pretrained=str(model_folder),
        sizes="0.1:1",
        method="EAP",
        artifacts=str(out),
        circuit=circuit,
    )
    evaluate(lm, [TASK], ordinary)
    made = files(tmp_path) - before
    assert out / path_part(NAME) / "scores.safetensors" in made
    assert all(out in path.parents for path in made)
