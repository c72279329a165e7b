"""Evidence as tables: what pages show of each kind, in words and numbers with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import size_name

Cell = Callable[[Mapping[str, Any]], str]
CIRCUIT = ("ranked by", "size")


@dataclass(frozen=True)
class Table:
    """Numbers of one kind.

    Attributes:
        columns: Their heads.
        rows: Texts, one per column.
        title: What distinguishes it from the kind's first table; empty of that.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        columns, rows = list(self.columns), [list(row) for row in self.rows]
        return {"title": self.title, "columns": columns, "rows": rows}


def by_circuit(circuits: Sequence[Mapping[str, Any]], cells: Mapping[str, Cell]) -> Table:
    """A row per circuit: what it was ranked by, its size, and what each column says of it."""
    rows = [[*circuit_cells(one), *(cell(one) for cell in cells.values())] for one in circuits]
    return Table((*CIRCUIT, *cells), rows)


def circuit_cells(one: Mapping[str, Any]) -> list[str]:
    """What a circuit was ranked by, and its size."""
    return [Ranking(one["ranking"]).symbol, size_name(one["size"])]


def circuit_title(one: Mapping[str, Any]) -> str:
    """A circuit in the title of a table: `by |score| at 0.05`."""
    return "by {} at {}".format(*circuit_cells(one))
