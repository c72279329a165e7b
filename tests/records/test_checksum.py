"""Results and artifacts that were changed after they were written are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.result_files import examples, result_json, write_run
from helpers.tiny_tasks import TASK, evaluate, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.commands.main import main
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats import (
    CIRCUITS_FILE,
    SCORES_FILE,
    load_circuit_file,
    read_circuits,
    read_scores,
)
from harness_circuits.harness.patches import register
from harness_circuits.records.checksum import sign
from harness_circuits.records.examples import NoExamplesError, read_examples
from harness_circuits.records.results_file import read_results, read_results_file

CHANGES = {
    "a value": lambda data: data["results"][TASK].update({"acc,none": 0.123}),
    "a fact": lambda data: data["config"]["circuit"].update(load_seconds=0.0),
    "a setting of lm-eval's": lambda data: data["config"].update(limit=7.0),
    "the date": lambda data: data.update(date=1.0),
    "the checksum": lambda data: data["config"]["circuit"].update(checksum=None),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results as lm-eval's own command line saves them: run, then its tracker."""
    from lm_eval.loggers import EvaluationTracker

    folder = tmp_path_factory.mktemp("run")
    save_tiny_model(folder / "tiny", "llama")
    register()
    arguments = {"pretrained": str(folder / "tiny"), "method": "random", "sizes": "0.1:0.5:1"}
    include = write_task(folder)
    results = evaluate("circuit", [TASK], include, model_args=arguments, limit=4)
    tracker = EvaluationTracker(output_path=str(folder / "out"))
    tracker.general_config_tracker.model_name_sanitized = "tiny"
    tracker.save_results_aggregated(results=results)
    (file,) = (folder / "out").rglob("*.json")
    return file


def test_results_that_lm_eval_saved_match_their_checksum(saved: Path) -> None:
    assert len(json.loads(saved.read_text())["config"]["circuit"]["checksum"]) == 64
    assert len(read_results_file(saved)) == 1


@pytest.mark.parametrize("change", CHANGES)
def test_changed_results_are_refused_until_the_checksum_is_deleted(
    saved: Path, tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(saved.read_text())
    CHANGES[change](data)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    with pytest.raises(SystemExit) as end:
        main(["leaderboard", str(path), "--output", str(tmp_path / "board")])
    assert "does not match its config.circuit.checksum" in str(end.value)
    assert "delete the checksum if the change was meant" in str(end.value)
    assert "\n" not in str(end.value)
    assert not (tmp_path / "board").exists()
    del data["config"]["circuit"]["checksum"]
    path.write_text(json.dumps(data))
    assert len(read_results_file(path)) == 1


def test_what_lm_eval_adds_when_it_saves_is_not_covered(tmp_path: Path) -> None:
    data: dict[str, Any] = result_json(examples())
    sign(data)
    path = tmp_path / "results.json"
    path.write_text(json.dumps({**data, "task_hashes": {}, "total_evaluation_time_seconds": "3"}))
    assert len(read_results_file(path)) == 1


@pytest.mark.parametrize("name", [SCORES_FILE, "scores.json", CIRCUITS_FILE])
def test_changed_artifacts_are_refused_however_they_are_read(tmp_path: Path, name: str) -> None:
    write_run(tmp_path, examples())
    path = tmp_path / "artifacts" / "ioi_circuit" / name
    readers: list[Any] = [load_circuit_file]
    if name != "scores.json":
        readers.append(read_scores if name == SCORES_FILE else read_circuits)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for read in readers:
        with pytest.raises(
            CircuitFileError, match=r"is damaged or was changed.* delete SHA256SUMS"
        ):
            read(path)


def test_changed_values_per_example_are_refused(tmp_path: Path) -> None:
    (run,) = read_results([write_run(tmp_path, examples())]).runs
    read_examples(run)
    path = tmp_path / "artifacts" / "ioi_circuit" / "examples.jsonl"
    path.write_text(path.read_text().replace("{", "{ ", 1))
    with pytest.raises(NoExamplesError, match="is damaged or was changed"):
        read_examples(run)
    (path.parent / "SHA256SUMS").unlink()
    read_examples(run)
