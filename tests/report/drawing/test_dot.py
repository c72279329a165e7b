"""Drawings for Graphviz."""

from __future__ import annotations

import re

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.report.draw import draw
from harness_circuits.report.drawing.layout import lay_out

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4)
EDGES = ["input->a0.h1<q>", "input->a0.h1<k>", "a0.h1->m1", "m1->logits", "a0.h1->logits"]


def circuit() -> Circuit:
    return Circuit.of_edges(GRAPH, EDGES)


def scores(**values: float) -> Scores:
    """Scores 1 everywhere but for named edges, arrows written as `__`."""
    array = GRAPH.edge_mask.astype(float)
    for at, value in enumerate(values.values()):
        array[GRAPH.edge_index(EDGES[at])] = value
    return Scores(ScoreSpace(GRAPH), array)


def test_dot_by_hand() -> None:
    dot = draw(lay_out(circuit(), scores(q=-1.0)), ".dot", 'x"y').decode()
    assert 'label="x\\"y"' in dot
    arrow = r'"input" -> "a0\.h1" \[color="#\w+", penwidth=4\.00, style=dashed, '
    assert re.search(arrow + r'tooltip="input->a0\.h1<q>: -1"\]', dot)
    assert dot.count(" -> ") == len(EDGES)
