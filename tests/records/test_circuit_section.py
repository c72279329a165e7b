"""`config.circuit`: the writer's keys are the schema's, and the reader takes nothing in silence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.result_files import examples, write_run

from harness_circuits.records import circuit_section as section
from harness_circuits.records.circuit_section import circuit_section, read_run
from harness_circuits.records.fields import Fields, ResultFileError

SCHEMA = re.findall(r"^    ([a-z_]+)(?: |\.TASK)", section.__doc__ or "", re.M)


def written(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "model": {"model": "m", "architecture": "a", "device": "cpu", "weights": {}, "graph": {}},
        "first_token": {"ids": [0], "text": "<s>"},
        "settings": {"settings": {}, "given": None},
        "ordinary_tasks": None,
        "versions": {"torch": "2"},
        "load_seconds": 1.0,
        "artifacts": None,
        "tasks": {"b": {"metric": "x"}, "a": {}},
    }
    return circuit_section(**(given | changes))


def test_the_schema_names_what_is_written() -> None:
    found = written()
    assert {*found, "checksum"} - {"architecture", "device"} == set(SCHEMA)
    assert list(found["tasks"]) == ["a", "b"]
    assert json.loads(json.dumps(found)) == found


def run_of(path: Path, change: Any = None) -> Any:
    data = json.loads(path.read_text())
    if change is not None:
        change(data)
    return read_run(path, Fields(data, "the file"), "ioi_circuit")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write_run(tmp_path, examples(), with_examples=False)
    run, data = run_of(path), json.loads(path.read_text())
    facts = data["config"]["circuit"]["tasks"]["ioi_circuit"]
    assert run.task == "ioi_circuit" and run.metric == facts["metric"]
    assert run.n_evaluation == facts["n_evaluation"]
    for ranking, curve in run.curves.items():
        stored = facts["curves"][ranking.value]
        assert [point.value for point in curve.points] == stored["faithfulness"]
        assert list(curve.sizes) == stored["sizes"]
    for name, area in run.areas.items():
        assert area.value == data["results"]["ioi_circuit"][f"{name},none"]


def test_an_area_that_is_not_that_of_its_curve_is_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path, examples(), with_examples=False)

    def other_area(data: dict[str, Any]) -> None:
        results = data["results"]["ioi_circuit"]
        for end in ("", "_ci95_low", "_ci95_high"):
            results[f"cmd{end},none"] += 0.01

    with pytest.raises(ResultFileError, match=r"^results\.ioi_circuit: 'cmd' is .*, and its curve"):
        run_of(path, other_area)
    with pytest.raises(ResultFileError, match="'metric'"):
        run_of(path, lambda d: d["config"]["circuit"]["tasks"]["ioi_circuit"].pop("metric"))
