"""Runs of other weights or other pairs never stand for one another."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers.result_files import examples, write_run

from harness_circuits.commands.main import main
from harness_circuits.records.results_file import read_results
from harness_circuits.records.run import tell_apart
from harness_circuits.report.comparison.matching import newest
from harness_circuits.report.page import leaderboard_page
from harness_circuits.report.table import Leaderboard, leaderboard_markdown, make_leaderboard


def board_of(folder: Path) -> Leaderboard:
    notes: list[str] = []
    board = make_leaderboard(newest(tell_apart(read_results([folder]).runs), notes))
    assert notes == []
    return board


def of_weights(file: Path, source: str, fingerprint: str) -> Path:
    data = json.loads(file.read_text())
    data["config"]["circuit"]["weights"] = {"source": source, "fingerprint": fingerprint}
    file.write_text(json.dumps(data))
    return file


def at_chance(file: Path) -> None:
    data = json.loads(file.read_text())
    for task in data["config"]["circuit"]["tasks"].values():
        task["accuracy"] = {"value": 0.5, "low": 0.4, "high": 0.6, "chance": 0.5}
    file.write_text(json.dumps(data))


def two_checkpoints(folder: Path) -> list[Path]:
    return [
        of_weights(
            write_run(folder / run, examples(0, shift=shift), model="checkpoint-500"),
            f"out/{run}/checkpoint-500",
            run[-1].lower() * 16,
        )
        for run, shift in (("runA", 0.0), ("runB", -1.0))
    ]


@pytest.mark.case("leaderboard-merges-checkpoints")
def test_two_checkpoints_of_one_name_are_two_models(tmp_path: Path) -> None:
    two_checkpoints(tmp_path)
    board = board_of(tmp_path)
    assert [board.texts(at)[0] for at in (0, 1)] == ["runA/checkpoint-500", "runB/checkpoint-500"]
    assert board.marks["cmd"] == ("best", "best")
    assert leaderboard_markdown(board).count("## ") == 2


def test_two_checkpoints_are_not_compared_unless_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = map(str, two_checkpoints(tmp_path))
    assert main(["compare", old, new]) == 2
    assert (
        "the runs differ in weights ('out/runA/checkpoint-500"
        in capsys.readouterr().out.replace("\\", "")
    )
    assert main(["compare", old, new, "--across-settings"]) == 1


def test_the_same_weights_elsewhere_are_compared(tmp_path: Path) -> None:
    files = [
        of_weights(write_run(tmp_path / run, examples(0, shift=shift)), f"{run}/m", "a" * 16)
        for run, shift in (("x", 0), ("y", -1))
    ]
    assert main(["compare", *map(str, files)]) == 1


def test_a_run_over_fewer_pairs_replaces_none_and_is_not_ranked_with_it(tmp_path: Path) -> None:
    write_run(tmp_path / "all", examples(0, 40), date=1.0)
    write_run(tmp_path / "few", examples(0, 8), date=2.0, pairs="few")
    board = board_of(tmp_path)
    assert [board.texts(at)[2] for at in (0, 1)] == ["8", "40"]
    assert board.marks["cmd"] == ("best", "best")
    text = leaderboard_markdown(board)
    assert re.findall(r"of (\d+) pairs \(", text.replace("\\", "")) == ["8", "40"]
    assert "| pairs | method |" in text


def test_the_gate_takes_the_run_over_the_same_pairs(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0, 40))
    write_run(tmp_path / "new" / "all", examples(0, 40, shift=-1), date=1.0)
    write_run(tmp_path / "new" / "few", examples(0, 8), date=2.0, pairs="few")
    assert main(["compare", str(old), str(tmp_path / "new")]) == 1


def test_runs_at_chance_are_grey_and_have_no_stars(tmp_path: Path) -> None:
    for seed, method in enumerate(("EAP", "random")):
        at_chance(write_run(tmp_path / method, examples(seed), method=method))
    board = board_of(tmp_path)
    assert {mark for column in board.marks.values() for mark in column} == {""}
    page = leaderboard_page(board)
    rows = re.findall(r'<tr data-run="\d+"[^>]*>', page)
    assert len(rows) == 2 * len(board.columns)
    assert all('class="chance"' in row for row in rows)
    assert "tr.chance td" in page
    body = page[page.index("<tbody>") :]
    assert "★" not in body and "≈" not in body


def test_every_table_is_sorted_by_its_own_column(tmp_path: Path) -> None:
    for seed, (method, shift) in enumerate([("EAP", 0.0), ("random", -2.0), ("exact", -0.5)]):
        write_run(tmp_path / method, examples(seed, shift=shift), method=method)
    board = board_of(tmp_path)
    page = leaderboard_page(board)
    for column in board.columns:
        panel = page[page.index(f'id="panel-{column.name}"') :]
        values = [
            float(x) for x in re.findall(r'data-sort="([^"]+)"', panel[: panel.index("</section>")])
        ]
        assert values == sorted(values, reverse=column.higher_is_better)
