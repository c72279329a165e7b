"""MIB's AUROC of ten greedy circuits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from helpers.parity_fixtures import (
    parity_batches,
    parity_model,
)

from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.evaluation.agreement import agreement
from harness_circuits.metrics.metrics import METRICS


def scores(architecture: str, method: str, *, raw_heads: bool, **options: str) -> np.ndarray:
    batches = parity_batches(architecture)
    metric = METRICS.get("logit_diff")
    job = Job(parity_model(architecture), batches, metric, raw_heads=raw_heads)
    return attribute(job, method, **options).values


def auroc_by_hand(graph: Graph, scores: np.ndarray, truth: np.ndarray) -> float:
    """MIB's area, from the rule in words: an edge at a time, nothing of ours but names."""
    edges = [tuple(at) for at in np.argwhere(graph.edge_mask)]
    owner = {dst: graph.destination_owner[dst] for _, dst in edges}
    points = []
    for size in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1):
        left, inside, kept = size * len(edges), {graph.n_src}, set()
        while left > 0:
            left -= 1
            open_edges = [e for e in edges if e not in kept and owner[e[1]] in inside]
            best = max(open_edges, key=lambda e: abs(scores[e]))
            kept.add(best)
            inside.add(best[0])
        while True:  # prune
            into = {owner[dst] for _, dst in kept} | {0}
            out = {src for src, _ in kept} | {graph.n_src}
            live = {e for e in kept if e[0] in into and owner[e[1]] in out}
            if live == kept:
                break
            kept = live
        hits = sum(bool(truth[e]) for e in kept)
        points.append((hits / truth.sum(), (len(kept) - hits) / (len(edges) - truth.sum())))
    last = points[-1][1]
    return sum((b[1] - a[1]) / last * (a[0] + b[0]) / 2 for a, b in pairwise(points))


@pytest.mark.parametrize("seed", range(3))
def test_auroc_is_mibs(seed: int) -> None:
    graph = Graph(n_layers=3, n_heads=3, n_kv_heads=3, d_model=4)
    generator = np.random.default_rng(seed)
    space = ScoreSpace(graph)
    truth = Circuit(space, (generator.random(space.shape) < 0.2) & space.real)
    values = generator.standard_normal(space.shape) * space.real + 2 * truth.kept
    found = agreement(Scores(space, values), truth, published=True)
    assert found["mib_auroc"] == pytest.approx(auroc_by_hand(graph, values, truth.kept), abs=1e-12)
    assert found["mib_auroc"] != pytest.approx(found["auroc"], abs=1e-3)
    assert "mib_auroc" not in agreement(Scores(space, values), truth)
