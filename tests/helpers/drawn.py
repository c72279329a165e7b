"""Scores to draw."""

from __future__ import annotations

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4)


EDGES = ["input->a0.h1<q>", "input->a0.h1<k>", "a0.h1->m1", "m1->logits", "a0.h1->logits"]


def scores(**values: float) -> Scores:
    """Scores 1 everywhere but for named edges, arrows written as `__`."""
    array = GRAPH.edge_mask.astype(float)
    for at, value in enumerate(values.values()):
        array[GRAPH.edge_index(EDGES[at])] = value
    return Scores(ScoreSpace(GRAPH), array)
