"""Marks, tables and the command, without a browser."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.result_files import examples, result_json, with_task, write_run

from harness_circuits.commands.main import main
from harness_circuits.records.results_file import read_results
from harness_circuits.report.table import Leaderboard, make_leaderboard


def board_of(*folders: Path) -> Leaderboard:
    return make_leaderboard(read_results(folders).runs)


def test_repetitions_are_left_out_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for date in (1, 2):
        write_run(tmp_path / "in" / str(date), examples(date), date=date)
    assert main(["leaderboard", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    assert len(pd.read_csv(tmp_path / "out" / "leaderboard.csv")) == 1
    assert "was repeated by" in capsys.readouterr().err
    assert "was repeated by" in (tmp_path / "out" / "leaderboard.md").read_text()


@pytest.mark.parametrize(
    ("artifacts", "task"),
    [
        ("~nobody-of-that-name/x", "t"),
        ("out", "t" * 5000),
        ("\0", "t"),
        ("out", "\0"),
        ("..", "../.."),
    ],
)
def test_hostile_folders_are_only_missing_artifacts(
    tmp_path: Path, artifacts: str, task: str
) -> None:
    data = result_json(with_task(examples(1, 5), task), artifacts=Path(artifacts))
    (tmp_path / "results.json").write_text(json.dumps(data))
    (entry,) = board_of(tmp_path).entries
    assert entry.examples is None and "artifacts folder" in entry.why_not
