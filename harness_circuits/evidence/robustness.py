"""robustness: the same circuit under every ablation, direction and metric (Miller et al. 2024).

Faithfulness depends on how it is measured: what replaces removed units, whether the circuit is noised
from outside or denoised from inside, and by which metric. The grid of all that are defined together
gives the range that one number hides. Settings whose gap is less than four standard errors are in the
grid and not in the range: there f is noise over noise. Means of mean ablations are taken over the
training pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness_circuits.errors import NumericalError
from harness_circuits.evaluation.gap import LEAST_ERRORS, check_gap, measure_gap
from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind
from harness_circuits.evidence.subject import Subject
from harness_circuits.evidence.table import Cell, Table, by_circuit, circuit_title
from harness_circuits.evidence.text import interval

N_SETTINGS = 6  # ablations by noising, and patching by denoising
ENDS = {"lowest": "lowest", "highest": "highest"}
OWN_ENDS = {"own_lowest": "lowest", "own_highest": "highest"}
LEARNED = "the constants of ablation=optimal, learned on the training pairs as for a run with it"


def robustness(subject: Subject) -> dict[str, Any]:
    """Faithfulness of every circuit in every cell of the grid, and its range."""
    points = subject.points
    rows: list[list[dict[str, Any]]] = [[] for _ in points]
    not_defined = []
    for cell in subject.extras["grid"]([point.circuit for point in points]) if points else ():
        name = {"ablation": cell.ablation, "direction": cell.direction, "metric": cell.metric}
        try:
            values = _defined(cell)
        except NumericalError as error:
            not_defined.append({**name, "why": str(error)})
            continue
        gap, above = values.full - values.empty, values.circuits - values.empty
        in_errors = measure_gap(values.full, values.empty).in_errors
        found = subject.ratios(above, gap)
        for row, f, low, high in zip(rows, found.value, found.low, found.high, strict=True):
            ends = [None if np.isnan(x) else float(x) for x in (low, high)]
            found_here = {"faithfulness": float(f), "ci95_low": ends[0], "ci95_high": ends[1]}
            row.append({**name, **found_here, "gap_in_errors": in_errors})
    own = subject.extras["metric"]
    circuits = [
        {"ranking": str(point.ranking), "size": point.size, **_range(row, own), "cells": row}
        for point, row in zip(points, rows, strict=True)
    ]
    return {"metric": own, "not_defined": not_defined, "circuits": circuits}


def _range(row: Sequence[Mapping[str, Any]], own: str) -> dict[str, Any]:
    """The settings that give the least and the largest f, of all metrics and of the task's own."""
    told = [cell for cell in row if cell["gap_in_errors"] is None or _has_gap(cell)]
    ours = [cell for cell in told if cell["metric"] == own]
    return {
        "lowest": min(told, key=_f, default=None),
        "highest": max(told, key=_f, default=None),
        "own_lowest": min(ours, key=_f, default=None),
        "own_highest": max(ours, key=_f, default=None),
        "within_error": len(row) - len(told),
    }


def _has_gap(cell: Mapping[str, Any]) -> bool:
    return abs(float(cell["gap_in_errors"])) >= LEAST_ERRORS


def _defined(cell: Any) -> Any:
    """A cell's values.

    Raises:
        NumericalError: It has none, or no gap to divide by.
    """
    if cell.values is None:
        raise NumericalError(cell.why_not)
    values = cell.values
    check_gap(values.full, values.empty, cell.metric, values.rounding)
    return values


def _f(cell: Mapping[str, Any]) -> float:
    return float(cell["faithfulness"])


def _lines(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in found["circuits"]:
        lines.append(
            f"robustness, by {one['ranking']} at {one['size']:g}: f from {_text(one['lowest'])} to "
            f"{_text(one['highest'])}, {len(one['cells']) - one['within_error']} settings; by "
            f"{found['metric']} alone from {_text(one['own_lowest'])} to {_text(one['own_highest'])}"
            + _without_a_gap(one["within_error"])
        )
    for why, n in Counter(cell["why"] for cell in found["not_defined"]).items():
        what = "setting is" if n == 1 else "settings are"
        lines.append(f"robustness: {n} {what} not defined here: {why}")
    return lines


def _without_a_gap(n: int) -> str:
    if not n:
        return ""
    return f"; {n} {'setting has' if n == 1 else 'settings have'} no gap to speak of"


def _tables(found: Mapping[str, Any]) -> list[Table]:
    cells = {
        "settings": lambda one: f"{len(one['cells']) - one['within_error']}",
        "without a gap": lambda one: f"{one['within_error']}",
        **{
            f"{'f' if name in ENDS else found['metric'] + ' alone'}, {end}": _cell(name)
            for name, end in {**ENDS, **OWN_ENDS}.items()
        },
    }
    grids = [
        Table(
            ("ablation", "direction", "metric", "f", "gap in standard errors"),
            [
                [
                    *(cell[name] for name in ("ablation", "direction", "metric")),
                    _f_text(cell),
                    "-" if cell["gap_in_errors"] is None else f"{cell['gap_in_errors']:.1f}",
                ]
                for cell in one["cells"]
            ],
            f"all settings, {circuit_title(one)}",
        )
        for one in found["circuits"]
    ]
    columns = "ablation", "direction", "metric", "why"
    rows = [[cell[name] for name in columns] for cell in found["not_defined"]]
    missing = [Table(columns, rows, "settings that are not defined here")] if rows else []
    return [by_circuit(found["circuits"], cells), *grids, *missing]


def _cell(name: str) -> Cell:
    return lambda one: _text(one[name])


def _f_text(cell: Mapping[str, Any]) -> str:
    return interval(cell["faithfulness"], cell["ci95_low"], cell["ci95_high"])


def _text(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "nothing"
    name = f"{cell['ablation']}, {cell['direction']}, {cell['metric']}"
    return f"{_f_text(cell)} ({name})"


EVIDENCE.register("robustness")(
    Kind(
        function=robustness,
        lines=_lines,
        tables=_tables,
        cost=lambda plan: Cost(circuits=N_SETTINGS * plan.points, also=LEARNED),
        extras=("grid", "metric"),
        intervals="evaluation pairs",
        no_interval="the range (its ends are settings with an interval each)",
        description="range of faithfulness over all ablations, directions and metrics",
        source="Miller et al. 2024, arXiv 2407.08734",
    )
)
