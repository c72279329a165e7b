"""Values per example, read back: damaged, overwritten and moved ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.result_files import examples, write_run

from harness_circuits.records.results_file import read_results
from harness_circuits.report.comparison.compare import Comparison, compare


def compared(old: Path, new: Path, **how: Any) -> Comparison:
    return compare(read_results([old]).runs, read_results([new]).runs, **how)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "not readable: No such file"),
        ("{", "is malformed"),
        ('{"index": 0}\n', "is malformed"),
        ("", "is malformed: ValueError('0 rows of 0 values, not 40 of 4"),
    ],
)
def test_damaged_examples_are_named(tmp_path: Path, text: str | None, reason: str) -> None:
    old = write_run(tmp_path / "old", examples(0))
    new = write_run(tmp_path / "new", examples(1))
    file = tmp_path / "new" / "artifacts" / "ioi_circuit" / "examples.jsonl"
    (file.parent / "SHA256SUMS").unlink()  # else that is what is named
    file.unlink()
    if text is not None:
        file.write_text(text)
    assert reason in compared(old, new).notes[0]


def test_overwritten_examples_are_not_used(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0))
    new = write_run(tmp_path / "new", examples(1))
    write_run(tmp_path / "other", examples(2))
    shutil.copytree(
        tmp_path / "other" / "artifacts", tmp_path / "new" / "artifacts", dirs_exist_ok=True
    )
    assert "holds the values of another run" in compared(old, new).notes[0]


def test_moved_artifacts_are_found(tmp_path: Path) -> None:
    write_run(tmp_path / "old", examples(0))
    moved = Path(shutil.move(tmp_path / "old", tmp_path / "elsewhere"))
    new = write_run(tmp_path / "new", examples(1))
    assert all(row.paired for row in compared(moved, new).rows)
