"""The layout of a drawing, as data."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from helpers.drawn import EDGES, GRAPH, scores
from helpers.random_graphs import circuits
from helpers.result_files import random_scores
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.report.drawing.layout import MERGE_ABOVE, lay_out


def circuit() -> Circuit:
    return Circuit.of_edges(GRAPH, EDGES)


@given(circuits(), st.booleans())
def test_every_edge_is_drawn_and_goes_up(drawn: Circuit, merge: bool) -> None:
    graph = drawn.space.graph
    edge_level = drawn.space.level == "edge"
    kept = drawn.edges if edge_level else drawn.edges & drawn.into_kept
    if not kept.any():
        with pytest.raises(OptionError, match="1 to 2000 edges, this circuit has 0"):
            lay_out(drawn)
        return
    drawing = lay_out(drawn, merge=merge)
    names = [name for edge in drawing.edges for name in edge.names]
    assert set(names) == {graph.edge_name(*at) for at in np.argwhere(kept).tolist()}
    if graph.n_kv_heads == graph.n_heads:
        assert len(names) == kept.sum() == drawing.n_edges
    pairs = [(edge.source, edge.target, "" if merge else edge.kind) for edge in drawing.edges]
    assert len(set(pairs)) == len(pairs)
    assert all(edge.source.y < edge.target.y for edge in drawing.edges)
    assert all(set(pair[:2]) <= set(drawing.nodes) for pair in pairs)
    places = sorted((node.y, node.x) for node in drawing.nodes)
    apart = [b[1] - a[1] for a, b in pairwise(places) if a[0] == b[0]]
    assert all(gap >= 1 - 1e-9 for gap in apart)
    assert {node.name for node in drawing.nodes} >= {"input", "logits"}


def test_merging_adds_scores_and_keeps_the_strongest_kind() -> None:
    weights = scores(q=-3.0, k=1.0, m=0.5)
    apart = {edge.names[0]: edge for edge in lay_out(circuit(), weights, merge=False).edges}
    assert (apart[EDGES[0]].kind, apart[EDGES[1]].kind) == ("q", "k")
    assert apart[EDGES[0]].strength == 1.0 and apart[EDGES[0]].is_negative
    (one,) = [e for e in lay_out(circuit(), weights, merge=True).edges if len(e.names) == 2]
    assert (one.score, one.kind, one.names) == (-2.0, "q", (EDGES[0], EDGES[1]))
    (plain,) = [e for e in lay_out(circuit(), merge=True).edges if len(e.names) == 2]
    assert (plain.score, plain.kind) == (None, "qkv")
    assert one.label == f"{EDGES[0]}, {EDGES[1]}: -2"


def test_large_circuits_are_merged_by_default() -> None:
    space = ScoreSpace(Graph(n_layers=4, n_heads=3, n_kv_heads=3, d_model=4))
    assert space.n_units > MERGE_ABOVE
    assert lay_out(Circuit.full(space)).merged
    assert not lay_out(circuit()).merged


def test_grouped_keys_feed_every_head_of_their_group_that_sends() -> None:
    graph = Graph(n_layers=1, n_heads=4, n_kv_heads=2, d_model=4)
    shared = Circuit.of_edges(
        graph, ["input->a0.h1<k>", "a0.h2->logits", "a0.h3->logits", "a0.h0->logits"]
    )
    fed = {e.target.name for e in lay_out(shared).edges if e.kind == "k"}
    assert fed == {"a0.h2", "a0.h3"}


def test_circuits_too_large_or_scores_of_another_graph_are_refused() -> None:
    big = Circuit.full(ScoreSpace(Graph(n_layers=12, n_heads=12, n_kv_heads=12, d_model=4)))
    with pytest.raises(OptionError, match="1 to 2000 edges, this circuit has 32491"):
        lay_out(big)
    with pytest.raises(OptionError, match="edge scores over the circuit's own graph"):
        lay_out(circuit(), random_scores())
