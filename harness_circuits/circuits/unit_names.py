"""Units of a score space by their names, as `ScoreSpace.unit_name` has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness_circuits.errors import UnknownNameError, shown
from harness_circuits.registry import unknown_name

if TYPE_CHECKING:
    from harness_circuits.circuits.scores import ScoreSpace

_PART = re.compile(r"([^\[\]]+)\[(0|[1-9][0-9]{0,8})\]")


def index_of(space: ScoreSpace, name: str) -> tuple[int, ...]:
    """Index of a unit by its name.

    Raises:
        UnknownNameError: There is no such unit.
    """
    if space.spans is not None:
        edge, _, span = name.partition("@")
        if space.crossing and "->" not in edge:
            return _of_crossing(space, edge, span)
        if span not in space.spans.names:
            raise UnknownNameError(unknown_name("span", span, space.spans.names))
        return (list(space.spans.names).index(span), *space.graph.edge_index(edge))
    if space.level == "edge":
        return space.graph.edge_index(name)
    if space.level == "node":
        return (space.graph.source_index(name),)
    return _of_part(space, name)


def crossing_name(space: ScoreSpace, query: int, row: int, dst: int) -> str:
    """Name of a crossing edge: `a0.h1<v>@S1->S2`, from the key span to the query span."""
    assert space.spans is not None
    names, key = space.spans.names, row - space.graph.n_src
    return f"{space.graph.destination_names[dst]}@{names[key]}->{names[query]}"


def _of_crossing(space: ScoreSpace, destination: str, spans: str) -> tuple[int, int, int]:
    """Index of a crossing edge."""
    assert space.spans is not None
    names, (key, _, query) = space.spans.names, spans.partition("->")
    for span in (key, query):
        if span not in names:
            raise UnknownNameError(unknown_name("span", span, names))
    dst = space.graph.destination_index(destination)
    at = names.index(query), space.graph.n_src + names.index(key), dst
    if not destination.endswith(">"):
        raise UnknownNameError(
            f"Crossing edges are those of heads' queries, keys and values, got {shown(destination)}."
        )
    return at


def _of_part(space: ScoreSpace, name: str) -> tuple[int, int]:
    """Index of a neuron or hidden unit."""
    match = _PART.fullmatch(name)
    if match is None:
        raise UnknownNameError(
            f"{shown(name)} is none of the {space.level}s, which are called {space.unit_name(0, 0)}."
        )
    node = match[1].removesuffix(".h") if space.level == "mlp-neuron" else match[1]
    at, number = space.graph.source_index(node), int(match[2])
    rows = range(space.graph.n_src)[space.scored_sources]
    if at not in rows or number >= space.shape[1]:
        raise UnknownNameError(
            f"There is no {space.level} {shown(name)}: each has numbers 0 to {space.shape[1] - 1}."
        )
    return rows.index(at), number
