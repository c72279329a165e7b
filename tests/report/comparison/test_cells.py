"""Cells of a comparison: of few pairs, of one pair, and of many cells together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.result_files import examples, with_task, write_run

from harness_circuits.commands.main import main
from harness_circuits.records.results_file import read_results
from harness_circuits.report.comparison.compare import Comparison, compare


def compared(old: Path, new: Path, **how: Any) -> Comparison:
    return compare(read_results([old]).runs, read_results([new]).runs, **how)


def test_few_pairs_give_no_verdict_unless_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write_run(tmp_path / "old", examples(0, 8))
    new = write_run(tmp_path / "new", examples(1, 8, shift=-2))
    assert {row.verdict for row in compared(old, new).rows} == {"unknown"}
    assert main(["compare", str(old), str(new)]) == 2
    assert "8 pairs are too few for a verdict (--min-pairs 12)" in capsys.readouterr().out
    assert main(["compare", str(old), str(new), "--min-pairs", "8"]) == 1
    assert {row.verdict for row in compared(old, new, min_pairs=8).rows} == {"worse"}


def test_one_pair_is_compared_without_intervals(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / str(at), examples(at, 1)) for at in range(2)]
    rows = compared(*paths, min_pairs=1).rows
    assert {row.verdict for row in rows} == {"same"}
    assert all(row.difference.p == 1.0 for row in rows)
    assert all(row.difference.estimate.low == row.difference.estimate.high for row in rows)


def test_many_cells_share_what_may_be_wrong(tmp_path: Path) -> None:
    """The p-values of a cell, times the number of cells."""
    one = [write_run(tmp_path / s / "a", examples(i)) for i, s in enumerate(("old", "new"))]
    alone = [row.adjusted_p for row in compared(*one).rows]
    for at, side in enumerate(("old", "new")):
        write_run(tmp_path / side / "b", with_task(examples(at), "greater_than"))
    both = [r for r in compared(tmp_path / "old", tmp_path / "new").rows if r.task == "ioi_circuit"]
    assert [r.adjusted_p for r in both] == pytest.approx([min(1, 2 * (p or 0)) for p in alone])
