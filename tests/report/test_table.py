"""The leaderboard as CSV and Markdown."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.result_files import examples, result_json, with_task, write_run

from harness_circuits.commands.main import main
from harness_circuits.records.results_file import read_results
from harness_circuits.report.table import Leaderboard, leaderboard_markdown, make_leaderboard


def board_of(*folders: Path) -> Leaderboard:
    return make_leaderboard(read_results(folders).runs)


def test_the_csv_holds_all_numbers(tmp_path: Path) -> None:
    records = examples(1)
    write_run(tmp_path / "in", records, method="EAP")
    assert main(["leaderboard", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out" / "leaderboard.csv")
    published = result_json(records)["results"]["ioi_circuit"]
    for name in ("cpr", "cmd", "cmd_log", "cmd_ci95_low", "cpr_ci95_high"):
        assert table[name][0] == pytest.approx(published[f"{name},none"], rel=1e-12)
    assert table["seconds"][0] == 3.75
    assert table["discovery_seconds"][0] == 2.5
    assert table["peak_mib"][0] == 5
    assert (table["model_accuracy"][0], table["chance"][0]) == (0.9, 0.5)
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "The whole model: accuracy 0.90 [0.75, 0.97] on 40 pairs, guessing 0.50.\n" in text
    assert table.columns[:3].tolist() == ["model", "task", "method"]
    assert table.columns[-1] == "file"


def test_options_show_what_differs(tmp_path: Path) -> None:
    file = write_run(tmp_path / "a", examples(1), method="EAP")
    data = json.loads(file.read_text())
    data["config"]["circuit"]["settings"]["seed"] = 3
    (tmp_path / "other.json").write_text(json.dumps(data))
    assert sorted(board_of(tmp_path).options) == ["", "seed=3"]


def test_markdown_of_hostile_names(tmp_path: Path) -> None:
    write_run(tmp_path, with_task(examples(1), "x\n# y | <b>"), with_examples=False)
    text = leaderboard_markdown(board_of(tmp_path))
    assert r"## x \# y \| \<b\> on tiny, sizes 4 from 0.01 to 1" in text
    assert "<b>" not in text
