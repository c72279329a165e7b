"""Time outside the model passes: selection of all sizes with pruning, bootstrap, JSON."""

from __future__ import annotations

import json
import time

import numpy as np

from benchmarks.stages import ten
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.evaluation.summary import ExampleRecord, Header, summarise

# Llama-3.1-8B: 1,592,881 edges.
LLAMA = Graph(n_layers=32, n_heads=32, n_kv_heads=32, d_model=4096)
N_EXAMPLES, RESAMPLES = 200, 10_000


def outside(graph: Graph) -> dict[str, float]:
    """CPU seconds for both rankings of ten sizes over random scores of a graph."""
    space = ScoreSpace(graph)
    values = np.random.default_rng(0).standard_normal(space.shape) * graph.edge_mask
    scores = Scores(space, values, {})
    times = {}
    started = time.process_time()
    circuits = {ranking: ten(scores, ranking=ranking) for ranking in Ranking}
    times["selection and pruning"] = time.process_time() - started
    started = time.process_time()
    summary = summarise(_records(circuits))
    times["bootstrap"] = time.process_time() - started
    started = time.process_time()
    json.dumps([summary.metrics, summary.curves])
    times["JSON"] = time.process_time() - started
    return times


def _records(circuits: dict[str, list[Circuit]]) -> list[ExampleRecord]:
    header = Header(
        task="benchmark",
        metric="logit_diff",
        sizes=MIB_SIZES,
        rankings=tuple(circuits),
        kept={ranking: [c.n_kept for c in own] for ranking, own in circuits.items()},
        edges={ranking: [c.weighted_edges for c in own] for ranking, own in circuits.items()},
        iters=RESAMPLES,
        seed=0,
    )
    draw = np.random.default_rng(1).standard_normal

    def record(index: int) -> ExampleRecord:
        curves = {ranking: tuple(draw(len(MIB_SIZES)).tolist()) for ranking in circuits}
        return ExampleRecord(header, index, 2 + draw(), draw(), curves, curves)

    return [record(index) for index in range(N_EXAMPLES)]
