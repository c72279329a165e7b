"""Circuits by size, as `select` returns them."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.display import frame
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.circuits.sizes import check_sizes, parse_sizes, size_name
from harness_circuits.errors import OptionError, shown
from harness_circuits.machine.notebook import table_html

if TYPE_CHECKING:
    import pandas as pd


class Circuits(dict[float, Circuit]):
    """Circuits by requested size, a fraction of all units, ascending."""

    def __repr__(self) -> str:
        sizes = ", ".join(f"{size:.3g}: {circuit.n_kept:,}" for size, circuit in self.items())
        return f"Circuits({sizes} kept)" if self else "Circuits()"

    def _repr_html_(self) -> str:
        rows = [
            (size_name(size), f"{c.n_kept:,}", int(c.edges.sum()), f"{int(c.nodes.sum()):,}")
            for size, c in self.items()
        ]
        heads = ["size", "units kept", "edges", "nodes"]
        return table_html(f"{len(self)} circuits", heads, rows, 0)

    def to_frame(self) -> pd.DataFrame:
        """A row per circuit as a pandas DataFrame: size, kept units, edges and nodes."""
        circuits = list(self.values())
        return frame(
            {
                "size": list(self),
                "kept": [c.n_kept for c in circuits],
                "edges": [int(c.edges.sum()) for c in circuits],
                "nodes": [int(c.nodes.sum()) for c in circuits],
            }
        )


def read_counts(sizes: Any, space: ScoreSpace) -> dict[float, int]:
    """Numbers of units by size, from fractions, whole numbers above 1, or one of either.

    Args:
        sizes: What is wanted; 1 is the whole model.
        space: The units.

    Raises:
        OptionError: A size is neither, or they do not ascend.

    >>> from harness_circuits.circuits.graph import Graph
    >>> space = ScoreSpace(Graph(n_layers=2, n_heads=4, n_kv_heads=4, d_model=8))  # of 110 edges
    >>> read_counts(0.1, space), read_counts((5, 11, 1.0), space)
    ({0.1: 11}, {0.045454545454545456: 5, 0.1: 11, 1.0: 110})
    """
    listed = list(sizes) if isinstance(sizes, Iterable) and not isinstance(sizes, str) else sizes
    parts = listed if isinstance(listed, list) else [listed]
    if any(_is_count(part) for part in parts):
        parts = [_fraction(part, space) for part in parts]
    read = parse_sizes(parts if isinstance(listed, list) or parts != [listed] else listed)
    check_sizes(read)
    return {size: space.n_at(size) for size in read}


def _is_count(part: Any) -> bool:
    return isinstance(part, numbers.Integral) and int(part) > 1


def _fraction(part: Any, space: ScoreSpace) -> Any:
    if not _is_count(part):
        return part
    if part > space.n_units:
        raise OptionError(f"sizes: there are {space.n_units} {space.level}s, got {shown(part)}.")
    return int(part) / space.n_units
