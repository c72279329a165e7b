"""Marks: which runs are best, and which cannot be told from the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.result_files import examples, write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.evaluation.accuracy_area import log_mean
from harness_circuits.evaluation.curve import cmd_log
from harness_circuits.records.results_file import read_results
from harness_circuits.report.scoring import COLUMNS
from harness_circuits.report.table import Leaderboard, make_leaderboard


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
