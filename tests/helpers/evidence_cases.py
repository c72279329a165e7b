"""Subjects of evidence: circuits of a tiny model, and of made-up worlds where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from helpers import truths

from harness_circuits.ablation.patching import Patching
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.evidence import Subject
from harness_circuits.ground_truth import GROUND_TRUTH
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.pairs.tokenise import tokenise_pair

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=8)


def model_subject(
    model: CircuitModel, batches: Sequence[Batch], circuits: Sequence[Circuit], **facts: Any
) -> Subject:
    """The subject of given circuits on a model, by patching."""
    metric = METRICS.get("logit_diff")

    def evaluate(some: Sequence[Circuit]) -> np.ndarray:
        return evaluate_circuits(model, batches, some, metric, Patching()).circuits

    found = evaluate_circuits(model, batches, circuits, metric, Patching())
    sizes = tuple((at + 1) / len(circuits) for at in range(len(circuits)))
    return Subject(
        sizes=sizes,
        circuits={Ranking.ABSOLUTE: circuits},
        full=found.full,
        empty=found.empty,
        rounding=found.rounding,
        evaluate=evaluate,
        **{"iters": 200, "draws": 5, **facts},
    )


def truth_subject(name: str, circuits: Sequence[Circuit], n: int = 24, **facts: Any) -> Subject:
    """The subject of circuits on a hand-written model and some of its pairs."""
    model = truths.model(name)
    pairs = pairs_from_docs(GROUND_TRUTH[name].documents(n), name)
    encoded = [tokenise_pair(model.reader, pair, at) for at, pair in enumerate(pairs)]
    return model_subject(model, make_batches(encoded, n), circuits, **{"iters": 0, **facts})


def world(
    effect: Callable[[Circuit], np.ndarray | float],
    circuits: Sequence[Circuit],
    n: int = 60,
    *,
    noise: float = 0.0,
    seed: int = 0,
    **facts: Any,
) -> Subject:
    """A world without a model, in which a circuit's faithfulness is a function of what it keeps.

    Args:
        effect: Faithfulness of a circuit, of all examples or one each.
        circuits: The subject's circuits, of growing size.
        n: Examples.
        noise: Spread of values between examples, anew for every circuit.
        seed: Of the world.
        **facts: As `Subject` has them.
    """
    generator = np.random.default_rng(seed)
    gap, empty = 4 + generator.normal(0, 0.5, n), generator.normal(0, 1, n)

    def evaluate(some: Sequence[Circuit]) -> np.ndarray:
        return np.array(
            [empty + effect(one) * gap + noise * generator.normal(0, 1, n) for one in some]
        )

    sizes = tuple((at + 1) / (len(circuits) + 1) for at in range(len(circuits)))
    return Subject(
        sizes=sizes,
        circuits={Ranking.ABSOLUTE: list(circuits)},
        full=empty + gap,
        empty=empty,
        rounding=np.full(n, 1e-9),
        evaluate=evaluate,
        **{"iters": 100, "draws": 60, **facts},
    )


@cache
def edge_space() -> ScoreSpace:
    """Edges of the small graph."""
    return ScoreSpace(GRAPH, "edge")


def additive(weights: Mapping[str, float]) -> tuple[Circuit, Callable[[Circuit], float]]:
    """A circuit of some edges, and a world in which each of them adds its weight to f."""
    circuit = Circuit.of_edges(GRAPH, list(weights))
    places = {GRAPH.edge_index(name): weight for name, weight in weights.items()}

    def effect(other: Circuit) -> float:
        return float(sum(w for at, w in places.items() if other.kept[at]))

    return circuit, effect
