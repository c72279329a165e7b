"""Agreement with a true circuit, against definitions that count pairs of units."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits import Circuit, Graph, Scores, ScoreSpace
from harness_circuits.evaluation.agreement import (
    agreement,
    auprc,
    auroc,
    overlap,
    recall_at_true_size,
)

UNITS = st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=20)
GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4)


def split(units: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    labels, values = zip(*units, strict=True)
    return np.array(labels), np.array(values, dtype=float)


@given(UNITS)
def test_auroc_counts_pairs(units: list[tuple[bool, int]]) -> None:
    labels, values = split(units)
    pairs = [(a > b) + (a == b) / 2 for a in values[labels] for b in values[~labels]]
    found = auroc(labels, values)
    assert math.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


@given(UNITS)
def test_auprc_is_the_mean_precision_at_true_units(units: list[tuple[bool, int]]) -> None:
    labels, values = split(units)
    precision = [labels[values >= value].mean() for value in values[labels]]
    found = auprc(labels, values)
    assert math.isnan(found) if not precision else found == pytest.approx(np.mean(precision))


@given(UNITS)
def test_recall_is_what_random_ties_give_on_average(units: list[tuple[bool, int]]) -> None:
    labels, values = split(units)
    size = int(labels.sum())
    found = recall_at_true_size(labels, values)
    if not size:
        assert math.isnan(found)
        return
    generator = np.random.default_rng(0)
    orders = (np.lexsort((generator.random(len(values)), -values)) for _ in range(3000))
    drawn = np.mean([labels[order[:size]].mean() for order in orders])
    assert found == pytest.approx(drawn, abs=0.05)


def test_scores_that_are_the_truth_agree_in_everything() -> None:
    truth = Circuit.of_edges(GRAPH, ["input->a0.h1<q>", "a0.h1->m1", "m1->logits"])
    for level, kept in (("edge", truth.kept), ("node", truth.nodes)):
        space = ScoreSpace(GRAPH, level)  # type: ignore[arg-type]
        found = agreement(Scores(space, -kept.astype(float)), truth)  # the sign does not matter
        assert found == {"auroc": 1.0, "auprc": 1.0, "recall@true_size": 1.0}
    neurons = ScoreSpace(GRAPH, "neuron")
    assert agreement(Scores(neurons, np.ones(neurons.shape)), truth) == {}
    assert agreement(None, truth) == {}


def test_overlap_of_two_circuits() -> None:
    one = Circuit.of_edges(GRAPH, ["input->m0", "m0->logits", "input->logits"])
    other = Circuit.of_edges(GRAPH, ["input->m0", "m0->m1"])
    edges = overlap(one, other)["edges"]
    assert edges == {"precision": pytest.approx(1 / 3), "recall": 0.5, "jaccard": 0.25}
