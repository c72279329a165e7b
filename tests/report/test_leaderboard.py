"""Marks, tables and the command, without a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.result_files import examples, result_json, with_task, write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.commands.main import main
from harness_circuits.evaluation.accuracy_area import log_mean
from harness_circuits.evaluation.curve import cmd_log
from harness_circuits.records.results_file import read_results
from harness_circuits.report.page import leaderboard_page
from harness_circuits.report.scoring import COLUMNS
from harness_circuits.report.table import Leaderboard, leaderboard_markdown, make_leaderboard


def board_of(*folders: Path) -> Leaderboard:
    return make_leaderboard(read_results(folders).runs)


def marks(board: Leaderboard, metric: str) -> dict[str, str]:
    methods = [str(entry.run.settings["method"]) for entry in board.entries]
    return dict(zip(methods, board.marks[metric], strict=True))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.integers(0, 1000))
def test_log_mean_is_the_mean_over_the_log_axis(y: list[float], seed: int) -> None:
    sizes = tuple(np.sort(np.random.default_rng(seed).uniform(0.001, 1, len(y))).tolist())
    values = np.array(y)
    axis = np.log(sizes)
    expected = np.trapezoid(values, axis) / (axis[-1] - axis[0])
    assert log_mean(sizes, values) == pytest.approx(expected, abs=1e-9)
    assert log_mean(sizes, values) == pytest.approx(1 - cmd_log(sizes, values), abs=1e-9)


def test_best_and_not_distinguishable(tmp_path: Path) -> None:
    write_run(tmp_path / "a", examples(1), method="EAP-IG-inputs")
    write_run(tmp_path / "b", examples(2, shift=-0.02), method="EAP")
    write_run(tmp_path / "c", examples(3, shift=-1.5), method="random")
    board = board_of(tmp_path)
    for metric in ("cpr", "cmd", "cmd_log", "accuracy"):
        found = marks(board, metric)
        assert sorted((found["EAP"], found["EAP-IG-inputs"])) == ["best", "tied"]
        assert found["random"] == ""


@given(seed=st.integers(0, 1000))
@settings(max_examples=6)
def test_equal_runs_are_tied_in_everything(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("equal")
    for method in ("EAP", "random"):
        write_run(folder / method, examples(seed, 10), method=method)
    board = board_of(folder)
    for column in COLUMNS:
        assert sorted(board.marks[column.name]) == ["best", "tied"]


def test_other_sizes_are_another_contest(tmp_path: Path) -> None:
    write_run(tmp_path / "a", examples(1), method="EAP")
    write_run(tmp_path / "b", examples(1, sizes=(0.001, 0.5, 1.0)), method="random")
    assert board_of(tmp_path).marks["cpr"] == ("best", "best")


def test_without_artifacts_accuracy_has_no_interval_and_ties_only_when_equal(
    tmp_path: Path,
) -> None:
    write_run(tmp_path / "a", examples(1), method="EAP", with_examples=False)
    write_run(tmp_path / "b", examples(2), method="random", with_examples=False)
    board = board_of(tmp_path)
    assert sorted(board.marks["accuracy"]) == ["", "best"]
    assert all(e.values["accuracy"].low == e.values["accuracy"].high for e in board.entries)


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


def test_the_page_escapes_everything_and_needs_no_network(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>"
    write_run(tmp_path, with_task(examples(1), name), model=name, with_examples=False)
    page = leaderboard_page(board_of(tmp_path), ["a<b>.json: <i>"])
    assert "<script>alert(1)" not in page
    assert "<i>" not in page and "<b>" not in page.replace("a<b>", "a&lt;b&gt;")
    assert "default-src &#39;none&#39;" in page
    own = page.split("<script>")[0]
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", own)


def test_skipped_files_are_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "in", examples(1))
    (tmp_path / "in" / "broken.json").write_text("{")
    assert main(["leaderboard", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    assert "1 files skipped, 1 used" in capsys.readouterr().err
    page = (tmp_path / "out" / "leaderboard.html").read_text()
    assert "<summary>1 left out</summary>" in page
    assert "broken.json: not readable as JSON" in page
    table = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "1 left out:" in table and "broken.json: not readable as JSON" in table


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
