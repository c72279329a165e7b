"""Files of circuits of tasks on other tasks are read strictly, and beside results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.browser import page_views
from helpers.result_files import examples, write_run
from helpers.transfer_files import made_transfer, write_transfer

from harness_circuits.commands.main import main
from harness_circuits.records.fields import ResultFileError
from harness_circuits.records.results_file import read_results, read_results_file
from harness_circuits.records.transfer import read_transfer

TASKS = ("one", "two", "three")


def content() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(made_transfer(TASKS).to_dict()))
    return data


def test_what_is_written_is_read() -> None:
    assert read_transfer(content()) == made_transfer(TASKS)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("tasks",), ["one"], "two tasks or more, got 1"),
        (("tasks",), None, "'tasks' is not a list of texts"),
        (("n_discovery",), [1, 2], "'n_discovery' is not one number for each of 3"),
        (("matrices",), [], "'matrices' is not a list of some"),
        (("matrices", 0, "ranking"), "best", r"matrices\[0\]: there is no ranking 'best'"),
        (("matrices", 1, "faithfulness"), [[1]], "'faithfulness' has no row for each of 3"),
        (("matrices", 1, "faithfulness", 2), [1], r"'faithfulness' has a row that is \[1\]"),
        (("matrices", 1, "faithfulness", 2, 0), None, "'faithfulness' is not a finite number"),
        (("matrices", 0, "random", 0, 0), "x", "'random' is not a finite number but 'x'"),
        (("settings",), 3, "'settings' is not an object"),
    ],
)
def test_what_is_malformed_is_refused(where: tuple[Any, ...], value: Any, message: str) -> None:
    data = content()
    inside = data
    for step in where[:-1]:
        inside = inside[step]
    inside[where[-1]] = value
    with pytest.raises(ResultFileError, match=message):
        read_transfer(data)


def test_they_are_found_beside_results_and_are_none(tmp_path: Path) -> None:
    write_run(tmp_path / "run", examples(0, 8), method="EAP")
    path = write_transfer(tmp_path / "transfer" / "x.json", TASKS)
    broken = tmp_path / "transfer" / "y.json"
    broken.write_text(json.dumps({"kind": "transfer"}))
    reading = read_results([tmp_path])
    assert [file for file, _ in reading.transfers] == [path] and len(reading.runs) == 1
    assert [file for file, _ in reading.skipped] == [broken] == list(reading.damaged)
    assert reading.left_out[-1] == "1 files skipped, 2 used"
    with pytest.raises(ResultFileError, match="not a results file of lm-eval"):
        read_results_file(path)


def test_a_page_of_them_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_transfer(tmp_path / "transfer" / "x.json", TASKS)
    assert main(["leaderboard", str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "leaderboard.html").read_text()
    (view,) = page_views(page)
    assert view["tasks"] == list(TASKS) and 'class="tabs"' not in page
    capsys.readouterr()
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "No results of --model circuit in" in capsys.readouterr().err
