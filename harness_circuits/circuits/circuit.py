"""Circuits: which units of a score space are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from harness_circuits.circuits.display import circuit_html, frame, unit_columns
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.circuits.span_paths import on_paths
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import MismatchError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Circuit:
    """A set of kept units. Everything else is ablated.

    Attributes:
        space: Graph and level.
        kept: Boolean array of the space's shape.
    """

    space: ScoreSpace
    kept: Bool[np.ndarray, "*units"]

    def __post_init__(self) -> None:
        if self.kept.shape != self.space.shape or self.kept.dtype != np.bool_:
            raise MismatchError(
                f"A circuit of shape {self.kept.shape} ({self.kept.dtype}) does not fit a graph whose "
                f"{self.space.level} circuits have shape {self.space.shape} (bool)."
            )
        if (self.kept & ~self.space.real).any():
            raise MismatchError("The circuit keeps edges that the graph does not have.")

    @classmethod
    def full(cls, space: ScoreSpace) -> Circuit:
        """The whole model."""
        return cls(space, space.real.copy())

    @classmethod
    def empty(cls, space: ScoreSpace) -> Circuit:
        """Nothing kept."""
        return cls(space, np.zeros(space.shape, dtype=bool))

    @classmethod
    def of_edges(cls, graph: Graph, names: list[str]) -> Circuit:
        """An edge circuit from edge names such as `a3.h1->a5.h0<q>`."""
        kept = np.zeros((graph.n_src, graph.n_dst), dtype=bool)
        for name in names:
            kept[graph.edge_index(name)] = True
        return cls(ScoreSpace(graph, "edge"), kept)

    def __contains__(self, unit: str) -> bool:
        """Whether a unit is kept, by its name.

        Raises:
            UnknownNameError: There is no such unit at this level.
        """
        return bool(self.kept[self.space.unit_index(unit)])

    def __repr__(self) -> str:
        return f"Circuit({self.headline})"

    def _repr_html_(self) -> str:
        return circuit_html(self)

    @property
    def headline(self) -> str:
        """Level and number of kept units, in a line."""
        share = self.n_kept / self.space.n_units
        return f"{self.space.level}, {self.n_kept:,} of {self.space.n_units:,} kept ({share:.2%})"

    def to_frame(self) -> pd.DataFrame:
        """The kept units as a pandas DataFrame, in the order of the graph."""
        places = np.argwhere(self.kept)
        names = [self.space.unit_name(*at) for at in places]
        return frame(unit_columns(self.space, places), names)

    def edges_frame(self) -> pd.DataFrame:
        """The kept edges as a pandas DataFrame; of a node or neuron circuit, those that `edges` has."""
        places = np.argwhere(self.edges)
        names = [self.space.graph.edge_name(*at) for at in places]
        return frame(unit_columns(ScoreSpace(self.space.graph), places), names)

    @property
    def n_kept(self) -> int:
        """Number of kept units."""
        return int(self.kept.sum())

    @cached_property
    def edges(self) -> Bool[np.ndarray, "src dst"]:
        """Kept edges: of a circuit of other units, all edges that leave something kept.

        Of a circuit over spans, the edges that are kept at some span.
        """
        if self.space.spans is not None:
            return np.asarray(self.edges_at_spans.any(axis=0))
        if self.space.level == "edge":
            return self.kept
        edges: np.ndarray = self.nodes[:, None] & self.space.graph.edge_mask
        return edges

    @property
    def edges_at_spans(self) -> Bool[np.ndarray, "span src dst"]:
        """Kept edges at each span; without spans, those of all tokens as if these were one."""
        if self.space.spans is None:
            return self.edges[None]
        return self.space.edges_in(self.kept)

    @property
    def crossings(self) -> Bool[np.ndarray, "query key dst"] | None:
        """Kept crossing edges, by query span, key span and destination; None where they are no units."""
        return self.kept[:, self.space.graph.n_src :] if self.space.crossing else None

    @cached_property
    def nodes(self) -> Bool[np.ndarray, "src"]:
        """Sources with something kept."""
        return self.space.shares(self.kept) > 0

    @property
    def weighted_edges(self) -> float:
        """Edges kept, where an edge from a source with k of its n neurons kept counts k / n.

        MIB's weighted edge count (Mueller et al. 2025, arXiv 2504.13151), over existing edges only.
        A node that is not kept receives nothing, so edges into it do not count. An edge that is kept
        at k of n spans counts k / n, of those at which it exists; crossing edges do not count.
        """
        graph = self.space.graph
        if self.space.spans is not None:
            real = self.space.edges_in(self.space.real)
            shares = self.edges_at_spans.sum(axis=0) / np.maximum(1, real.sum(axis=0))
            return float(shares.sum())
        if self.space.level == "edge":
            return float(self.n_kept)
        share = self.space.shares(self.kept)
        return float((share[:, None] * (graph.edge_mask & self.into_kept)).sum())

    def at_all_spans(self, spans: Spans) -> Circuit:
        """This circuit of edges as one over spans, kept at every one, with all crossing edges.

        Raises:
            MismatchError: It has spans already.
        """
        if self.space.spans is not None:
            raise MismatchError("The circuit is over spans already.")
        space = replace(self.space, spans=spans)
        kept = space.real.copy()
        kept[:, : self.space.graph.n_src] &= self.kept
        return Circuit(space, kept)

    @property
    def into_kept(self) -> Bool[np.ndarray, "dst"]:
        """Destinations that a node with something kept reads, and the logits."""
        return heads_of_destinations(self.space.graph, np.append(self.nodes, True))

    def prune(self) -> Circuit:
        """Drop what lies on no path from the input to the logits.

        >>> graph = Graph(n_layers=2, n_heads=1, n_kv_heads=1, d_model=8)
        >>> dangling = ["input->m0", "m0->logits", "input->a1.h0<q>"]  # the head reaches nothing
        >>> circuit = Circuit.of_edges(graph, dangling)
        >>> circuit.n_kept, circuit.prune().n_kept
        (3, 2)
        """
        if self.space.spans is not None:
            return Circuit(self.space, on_paths(self.space.graph, self.space.spans, self.kept))
        useful = reachable(self.space.graph, self.edges)
        if self.space.level == "edge":
            owners = heads_of_destinations(self.space.graph, np.append(useful, True))
            return Circuit(self.space, self.kept & useful[:, None] & owners[None, :])
        return Circuit(self.space, self.kept & self.space.units_of(useful))

    def complement(self) -> Circuit:
        """Everything this circuit does not keep."""
        return Circuit(self.space, self.space.real & ~self.kept)

    def __and__(self, other: Circuit) -> Circuit:
        """Units both keep."""
        return Circuit(self._same_space(other), self.kept & other.kept)

    def __or__(self, other: Circuit) -> Circuit:
        """Units either keeps."""
        return Circuit(self._same_space(other), self.kept | other.kept)

    def jaccard(self, other: Circuit) -> float:
        """Share of the units either keeps that both keep; 1 for two empty circuits.

        >>> graph = Graph(n_layers=1, n_heads=1, n_kv_heads=1, d_model=8)
        >>> one = Circuit.of_edges(graph, ["input->m0", "m0->logits"])
        >>> one.jaccard(Circuit.of_edges(graph, ["input->m0", "input->logits"]))
        0.3333333333333333
        """
        either = (self | other).n_kept
        return (self & other).n_kept / either if either else 1.0

    def _same_space(self, other: Circuit) -> ScoreSpace:
        if self.space != other.space:
            raise MismatchError("Two circuits of different graphs or levels cannot be combined.")
        return self.space


def check_same_graph(space: ScoreSpace, graph: Graph, model: str) -> None:
    """Refuse scores or a circuit of another model.

    Args:
        space: Their graph and level.
        graph: The model's graph.
        model: The model's name, for the message.

    Raises:
        MismatchError: The graphs differ.
    """
    own, wanted = space.everywhere.shape, ScoreSpace(graph, space.level).shape
    if space.graph != graph or own[1:] != wanted[1:]:
        raise MismatchError(
            f"The circuit or scores belong to another model: they are over {space.graph}, "
            f"{model} has {graph}."
        )


def reachable(graph: Graph, edges: Bool[np.ndarray, "src dst"]) -> Bool[np.ndarray, "src"]:
    """Sources on a path of kept edges from the input to the logits."""
    from_input = np.zeros(graph.n_src, dtype=bool)
    from_input[0] = True
    for layer in range(graph.n_layers):
        block = graph.attention_slice(layer)
        seen = int(graph.n_visible[block.start])
        fed = np.asarray(edges[:seen, block][from_input[:seen]].any(axis=0))
        from_input[graph.head_slice(layer)] = _heads_fed(graph, fed)
        mlp = graph.mlp_destination(layer)
        seen = int(graph.n_visible[mlp])
        from_input[graph.mlp_source(layer)] = (edges[:seen, mlp] & from_input[:seen]).any()
    to_logits = edges[:, -1] & from_input
    for layer in reversed(range(graph.n_layers)):
        if to_logits[graph.mlp_source(layer)]:
            to_logits |= edges[:, graph.mlp_destination(layer)] & from_input
        block = graph.attention_slice(layer)
        useful = _destinations_of_heads(graph, to_logits[graph.head_slice(layer)])
        to_logits |= edges[:, block][:, useful].any(axis=1) & from_input
    return to_logits


def heads_of_destinations(
    graph: Graph, nodes: Bool[np.ndarray, "src_and_logits"]
) -> Bool[np.ndarray, "dst"]:
    """For every destination, whether a node that reads it is among the given ones."""
    result: np.ndarray = nodes[graph.destination_owner]
    if graph.n_kv_heads != graph.n_heads:
        for layer in range(graph.n_layers):
            heads = nodes[:-1][graph.head_slice(layer)]
            result[graph.attention_slice(layer)] = _destinations_of_heads(graph, heads)
    return result


def _heads_fed(graph: Graph, fed: Bool[np.ndarray, "qkv"]) -> Bool[np.ndarray, "head"]:
    """Heads with at least one fed query, key or value input."""
    query, key, value = np.split(fed, [graph.n_heads, graph.n_heads + graph.n_kv_heads])
    return np.asarray(query | np.repeat(key | value, graph.n_heads // graph.n_kv_heads))


def _destinations_of_heads(
    graph: Graph, heads: Bool[np.ndarray, "head"]
) -> Bool[np.ndarray, "qkv"]:
    """Query, key and value inputs that at least one of the given heads reads."""
    groups = heads.reshape(graph.n_kv_heads, -1).any(axis=1)
    return np.concatenate([heads, groups, groups])
