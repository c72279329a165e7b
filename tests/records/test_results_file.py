"""Strict reading of results files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.environments import ROOT
from helpers.result_files import examples, result_json, write_run

from harness_circuits.records.fields import ResultFileError
from harness_circuits.records.results_file import read_results, read_results_file

Edit = Callable[[dict[str, Any]], Any]


def facts(data: dict[str, Any]) -> dict[str, Any]:
    return data["config"]["circuit"]["tasks"]["ioi_circuit"]


def written(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    return path


DAMAGE: list[tuple[Edit, str]] = [
    (lambda d: d.pop("results"), "not a results file of lm-eval: no `results` and `config` in it"),
    (lambda d: d["config"].pop("circuit"), "a results file of lm-eval, but not of --model circuit"),
    (lambda d: d["config"]["circuit"]["tasks"].clear(), "no circuit task was run"),
    (lambda d: d.update(date="today"), "the file: 'date' is not a finite number but 'today'"),
    (lambda d: facts(d).pop("metric"), "config.circuit.tasks.ioi_circuit has no 'metric'"),
    (
        lambda d: d["config"]["circuit"]["settings"].update(method=None),
        "config.circuit.settings: 'method' is not text but None",
    ),
    (lambda d: facts(d).update(metric=3), "'metric' is not text but 3"),
    (lambda d: facts(d).update(discovery_seconds=float("nan")), "is not a finite number but nan"),
    (lambda d: facts(d).update(evaluation_seconds=True), "is not a finite number but True"),
    (lambda d: facts(d).update(curves=[]), "'curves' is not an object but []"),
    (lambda d: facts(d).update(curves={}), "expected some of ('absolute', 'signed'), got []"),
    (lambda d: facts(d)["curves"].update(x={}), "('absolute', 'signed'), got ['x']"),
    (
        lambda d: facts(d)["curves"]["signed"]["kept"].pop(),
        "'kept' is not one number for each of 4 sizes but [10, 100, 500]",
    ),
    (
        lambda d: facts(d)["curves"]["signed"]["accuracy"].__setitem__(0, None),
        "'accuracy' is not a list of finite numbers but [None, ",
    ),
    (
        lambda d: facts(d)["curves"]["signed"]["sizes"].__setitem__(0, 0),
        "config.circuit.tasks.ioi_circuit.curves.signed: sizes are fractions in (0, 1], got 0.0",
    ),
    (
        lambda d: d["results"]["ioi_circuit"].update({"cmd_ci95_low,none": 9}),
        "results.ioi_circuit: 'cmd,none' has an interval from 9 to ",
    ),
    (
        lambda d: d["results"]["ioi_circuit"].update({"cpr_ci95_low,none": -9, "cpr,none": -8}),
        "results.ioi_circuit: 'cpr' is -8, and its curve (curves.signed.faithfulness) has 0.",
    ),
    (
        lambda d: d["results"]["ioi_circuit"].update({"cmd_log,none": 50}),
        "results.ioi_circuit: 'cmd_log,none' is 50, outside its own interval from ",
    ),
    (
        lambda d: facts(d)["curves"]["signed"]["faithfulness"].__setitem__(1, 40),
        "curves.signed: 'faithfulness' is 40, outside its own interval from ",
    ),
    (
        lambda d: facts(d)["accuracy"].update(value=0.1),
        "tasks.ioi_circuit.accuracy: 'value' is 0.1, outside its own interval from 0.75 to 0.97",
    ),
    (
        lambda d: facts(d)["curves"]["absolute"].update(
            {x: [0.5] * 4 for x in ("faithfulness", "ci95_low", "ci95_high")}
        ),
        "and its curve (curves.absolute.faithfulness) has 0.495",
    ),
    (
        lambda d: d["results"]["ioi_circuit"].pop("cpr_ci95_high,none"),
        "results.ioi_circuit has no 'cpr_ci95_high,none'",
    ),
]


@pytest.mark.parametrize(("edit", "message"), DAMAGE)
def test_damage_is_named(tmp_path: Path, edit: Edit, message: str) -> None:
    data = result_json(examples())
    edit(data)
    with pytest.raises(ResultFileError) as error:
        read_results_file(written(tmp_path, data))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "[1]", "3", "null", "\ud800", '["\\ud800"]']
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ResultFileError, match=r"not readable as JSON|not a results file"):
        read_results_file(path)


def test_folders_are_searched_and_refused_files_named(tmp_path: Path) -> None:
    good = write_run(tmp_path / "deep" / "down", examples())
    bad = tmp_path / "broken.json"
    bad.write_text("{")
    reading = read_results([tmp_path, good])
    assert [run.file for run in reading.runs] == [good]
    assert [path for path, _ in reading.skipped] == [bad]


def test_a_missing_path_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="There is no file or folder"):
        read_results([tmp_path / "nothing"])


def test_the_results_of_this_repository_are_read() -> None:
    reading = read_results([ROOT / "results"])
    assert len(reading.runs) > 50 and not reading.damaged
