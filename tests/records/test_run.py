"""A run as reports see it: what the file says of it."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.result_files import SIZES, examples, result_json

from harness_circuits.evaluation.summary import summarise
from harness_circuits.records.results_file import read_results_file


def written(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    return path


def test_a_run_holds_what_the_file_says(tmp_path: Path) -> None:
    records = examples()
    path = written(tmp_path, result_json(records, model="m", artifacts=Path("out"), date=3.5))
    (run,) = read_results_file(path)
    summary = summarise(records)
    assert (run.task, run.model, run.date, run.artifacts) == ("ioi_circuit", "m", 3.5, "out")
    assert (run.n_evaluation, run.seconds) == (40, 3.75)
    assert run.peak_bytes == 5 * 2**20
    assert run.settings["method"] == "EAP-IG-inputs"
    assert set(run.areas) == {"cpr", "cmd", "cmd_log"}
    assert run.areas["cmd"].value == summary.metrics["cmd"]
    assert run.areas["cmd"].low == summary.metrics["cmd_ci95_low"]
    for ranking, curve in run.curves.items():
        published = summary.curves[ranking]
        assert curve.sizes == SIZES
        assert [point.value for point in curve.points] == published["faithfulness"]
        assert [point.high for point in curve.points] == published["ci95_high"]
        assert list(curve.accuracy) == published["accuracy"]


def test_a_run_over_one_pair_has_no_intervals(tmp_path: Path) -> None:
    data = result_json(examples(n=1))
    assert data["results"]["ioi_circuit"]["cmd_ci95_low,none"] is None
    (run,) = read_results_file(written(tmp_path, data))
    values = [*run.areas.values(), *(point for c in run.curves.values() for point in c.points)]
    assert all(value.low == value.value == value.high for value in values)


def test_a_single_size_has_no_areas(tmp_path: Path) -> None:
    (run,) = read_results_file(written(tmp_path, result_json(examples(sizes=(0.1,)))))
    assert run.areas == {}


def test_a_given_file_stands_for_the_method(tmp_path: Path) -> None:
    data = result_json(examples())
    circuit = data["config"]["circuit"]
    circuit["settings"]["method"] = None
    circuit["given"] = {"file": "x/ioi.json#a", "sha256": "0ab", "kind": "scores"}
    (run,) = read_results_file(written(tmp_path, data))
    assert run.settings["method"] == "scores from ioi.json#a"
    assert run.settings["given_sha256"] == "0ab"
    assert run.label == "ioi_circuit on tiny by scores from ioi.json#a"
