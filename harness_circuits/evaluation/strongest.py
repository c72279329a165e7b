"""The units with the largest scores, and which of them are in a circuit that is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores

MOST = 10
Member = Callable[..., bool]  # of the indices of a unit: whether it is in a circuit
WIDTH = 36  # of one list, in characters; few names of edges have more than 19


@dataclass(frozen=True)
class Unit:
    """One of the strongest units.

    Attributes:
        unit: Its name.
        score: Its score.
        known: Whether it is in the circuit that is known; None where none is.
    """

    unit: str
    score: float
    known: bool | None = None


@dataclass(frozen=True)
class Strongest:
    """The strongest units of a run's level, and the strongest nodes, by absolute score.

    Attributes:
        level: One of `LEVELS`.
        units: The units, the strongest first.
        nodes: The nodes, by `Scores.by_node`; of node scores the same.
        known: What the circuit is called that `Unit.known` is about; None where none is known.
    """

    level: str
    units: tuple[Unit, ...]
    nodes: tuple[Unit, ...]
    known: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def strongest_units(
    scores: Scores,
    known: tuple[str, Circuit] | None = None,
    *,
    whole_heads: bool = False,
    most: int = MOST,
) -> Strongest:
    """The strongest units and nodes of scores.

    Args:
        scores: Of any level.
        known: A circuit over edges of the same graph, and what it is called.
        whole_heads: It does not tell a head's query, key and value apart: an edge into one of them is
            in it if that into another is.
        most: How many of each.
    """
    if known is None:
        return _strongest(scores, None, None, None, most)
    name, circuit = known
    owners = scores.space.graph.destination_owner

    def has_edge(*at: int) -> bool:  # an edge at some span is an edge
        src, dst = at[-2:]
        inputs = owners == owners[dst] if whole_heads else dst
        return bool(circuit.edges[src, inputs].any())

    def has_node(src: int) -> bool:
        return bool(circuit.nodes[src])

    return _strongest(scores, name, has_edge, has_node, most)


def _strongest(
    scores: Scores, name: str | None, has_edge: Member | None, has_node: Member | None, most: int
) -> Strongest:
    level = scores.space.level
    nodes = _units(scores.by_node(), has_node, most)
    if level == "node":
        return Strongest(level, nodes, nodes, name)
    units = _units(scores, has_edge if level == "edge" else None, most)  # no neuron is known
    return Strongest(level, units, nodes, name)


def _units(scores: Scores, known: Member | None, most: int) -> tuple[Unit, ...]:
    return tuple(
        Unit(scores.space.unit_name(*at), score, None if known is None else known(*at))
        for at, score in scores.strongest(most)
    )


def strongest_table(found: Strongest) -> str:
    """Units and nodes side by side, as text."""
    columns = [_column(found.level, found.units)]
    if found.level != "node":
        columns.append(_column("node", found.nodes))
    lines = ["  ".join(row).rstrip() for row in zip_longest(*columns, fillvalue=" " * WIDTH)]
    if found.level != "node":
        lines.append(f"  (the score of a node is the sum over its {_PARTS[found.level]})")
    if found.known is not None:
        lines.append(f"  known: in the circuit {found.known}")
    return "\n".join(lines)


_PARTS = {"edge": "edges out", "neuron": "neurons", "mlp-neuron": "hidden units"}


def _column(level: str, units: Sequence[Unit]) -> list[str]:
    known = any(unit.known is not None for unit in units)
    head = f"{f'strongest {level}s':<19}{'score':>10}{'  known' if known else ''}"
    rows = [head]
    for unit in units:
        mark = ("  yes" if unit.known else "  -") if known else ""
        rows.append(f"{unit.unit:<19}{unit.score:>+10.3g}{mark}")
    return [row.ljust(WIDTH) for row in rows]
