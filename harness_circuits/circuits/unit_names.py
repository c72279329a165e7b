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
        if span not in space.spans.names:
            raise UnknownNameError(unknown_name("span", span, space.spans.names))
        return (list(space.spans.names).index(span), *space.graph.edge_index(edge))
    if space.level == "edge":
        return space.graph.edge_index(name)
    if space.level == "node":
        return (space.graph.source_index(name),)
    return _of_part(space, name)


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
