"""What the tests of Shi et al. share: level, quantile, and how a test's result looks.

From the definitions of the paper (arXiv 2410.13032), not from the authors' code. A circuit's
faithfulness is its distance |1 - f| to the model, whichever ranking it is from. p-values are not
corrected over circuits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness_circuits.evidence.subject import Point
from harness_circuits.evidence.table import Cell, Table, by_circuit

SOURCE = "Shi et al. 2024, arXiv 2410.13032"
ALPHA = 0.05
QUANTILE = 0.9  # share of random circuits that a circuit is to beat


def result(point: Point, p: float, rejected: bool, **facts: Any) -> dict[str, Any]:
    """A test of one circuit as plain JSON."""
    about = {"ranking": str(point.ranking), "size": point.size, "kept": point.circuit.n_kept}
    return {**about, "p_value": p, "rejected": bool(rejected), **facts}


def verdict_tables(
    found: Mapping[str, Any], cells: Mapping[str, Cell], verdict: Cell
) -> list[Table]:
    """A row per circuit: units it keeps, what was counted, the p-value and the verdict in words."""
    p = f"verdict at {found['alpha']:.0%}"
    kept = {"units kept": lambda one: f"{one['kept']:,}"}
    columns = {**kept, **cells, "p": lambda one: f"{one['p_value']:.3g}", p: verdict}
    return [by_circuit(found["circuits"], columns)]


def verdict_lines(
    name: str, found: Mapping[str, Any], text: Callable[[Mapping[str, Any]], str]
) -> list[str]:
    """A line per circuit."""
    return [
        f"{name}, by {one['ranking']} at {one['size']:g}: {text(one)} (p = {one['p_value']:.3g})"
        for one in found["circuits"]
    ]
