"""What the cells of a sweep found, as the table that it ends with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness_circuits.machine.outgoing import clean_lines
from harness_circuits.records.short_table import Row, side_by_side, task_rows
from harness_circuits.sweep.cell import Cell
from harness_circuits.sweep.job import PlannedCell


def found_table(root: Path, jobs: Sequence[PlannedCell]) -> str:
    """A row per cell that has a result, called by the values in which the cells differ.

    Args:
        root: Folder of the results.
        jobs: Cells, with a result or without.
    """
    rows: dict[str, list[Row]] = {}
    differing = _differing([job.cell for job in jobs])
    for job in jobs:
        found = dict(_read(root / job.file))
        name = " ".join(job.cell.value(axis).label for axis in differing) or job.cell.task
        for task, own in found.items():
            rows[name if len(found) == 1 else f"{name} {task}"] = own
    return clean_lines(side_by_side(rows)) if rows else ""


def _read(file: Path) -> Iterator[tuple[str, list[Row]]]:
    """Rows of the tasks of a result; none of a file that is missing or cannot be read."""
    try:
        results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        for task in results["config"]["circuit"]["tasks"]:
            yield task, task_rows(results, task)
    except (OSError, ValueError, KeyError, TypeError):
        return


def _differing(cells: Sequence[Cell]) -> list[str]:
    """The axes on which cells differ, tasks first."""
    axes = [value.axis for value in cells[0].values] if cells else []
    axes = sorted(axes, key=lambda axis: axis != "task")
    return [axis for axis in axes if len({cell.value(axis) for cell in cells}) > 1]
