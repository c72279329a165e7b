"""The matrix of methods and tasks: ranks, shades, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.result_files import examples, with_task, write_run
from scipy.stats import rankdata

from harness_circuits.records.results_file import read_results
from harness_circuits.report.matrix import SHADES, matrices
from harness_circuits.report.scoring import COLUMNS
from harness_circuits.report.table import make_leaderboard

CPR = next(column for column in COLUMNS if column.name == "cpr")
SHIFTS = {"EAP-IG-inputs": 0.0, "EAP": -0.4, "random": -1.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix")
    for task in ("one", "two", "three", "four"):
        for seed, (method, shift) in enumerate(SHIFTS.items()):
            rows = with_task(examples(seed, 20, shift=shift), task)
            write_run(folder / task / method, rows, method=method, with_examples=False)
    some = with_task(examples(7, 20, shift=-0.2), "one")
    write_run(folder / "one" / "exact", some, method="exact", with_examples=False)
    return folder


def test_ranks_are_over_tasks_that_all_have(folder: Path) -> None:
    board = make_leaderboard(read_results([folder]).runs)
    (matrix,) = matrices(board, CPR)
    assert matrix.ranked == 3 and matrix.counted == 4
    by_label = {row.label: row for row in matrix.rows}
    assert [row.label for row in matrix.rows][:3] == list(SHIFTS)
    assert by_label["exact"].rank is None
    values = np.array([[c.value for c in by_label[m].cells if c] for m in SHIFTS])
    means = rankdata(-values, axis=0).mean(axis=1)
    for method, mean in zip(SHIFTS, means, strict=True):
        rank = by_label[method].rank
        assert rank is not None and rank.value == pytest.approx(mean)
        assert rank.low <= rank.value <= rank.high


def test_shades_order_a_task(folder: Path) -> None:
    (matrix,) = matrices(make_leaderboard(read_results([folder]).runs), CPR)
    for column in range(len(matrix.tasks)):
        cells = [row.cells[column] for row in matrix.rows]
        there = [cell for cell in cells if cell is not None and cell.shade is not None]
        best = max(there, key=lambda cell: cell.value)
        worst = min(there, key=lambda cell: cell.value)
        assert (best.shade, worst.shade) == (SHADES - 1, 0)


def test_one_method_alone_has_no_matrix(tmp_path: Path) -> None:
    write_run(tmp_path, examples(0, 20), method="EAP", with_examples=False)
    assert matrices(make_leaderboard(read_results([tmp_path]).runs), CPR) == []


def test_settings_of_intervals_are_no_other_method(tmp_path: Path) -> None:
    for task, iters in (("one", 10_000), ("two", 2_000)):
        for seed, method in enumerate(("EAP", "random")):
            rows = with_task(examples(seed, 20), task)
            how = {"with_examples": False, "settings": {"bootstrap_iters": iters}}
            write_run(tmp_path / task / method, rows, method=method, **how)
    (matrix,) = matrices(make_leaderboard(read_results([tmp_path]).runs), CPR)
    assert sorted(row.label for row in matrix.rows) == ["EAP", "random"]
    again = with_task(examples(5, 20), "two")
    how = {"with_examples": False, "settings": {"bootstrap_iters": 2_000, "seed": 1}}
    write_run(tmp_path / "two" / "seed", again, method="EAP", **how)
    (matrix,) = matrices(make_leaderboard(read_results([tmp_path]).runs), CPR)
    labels = [row.label for row in matrix.rows if row.label.startswith("EAP")]
    assert len(labels) == 3 and sum("seed=1" in label for label in labels) == 1
