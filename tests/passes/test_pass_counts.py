"""How many passes the methods and the curves take: what their speed rests on."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.ablation.ablations import Patching
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.selection import select

METRIC = METRICS.get("logit_diff")
BATCHES = token_batches(4, size=2)


def fresh() -> CircuitModel:
    """A model whose counts are its own."""
    model = tiny_model("gpt2")
    model.counts = Counter()
    return model


@pytest.mark.parametrize("level", ["edge", "node", "neuron"])
def test_eap_takes_two_forwards_and_one_backward_per_batch(level: str) -> None:
    model = fresh()
    attribute(Job(model, BATCHES, METRIC, level), "EAP")  # type: ignore[arg-type]
    del model.counts["tokens"], model.counts["prefix"]
    assert model.counts == {"forward": 4, "backward": 2, "contraction": 2}


@pytest.mark.parametrize("steps", [1, 5])
def test_eap_ig_takes_two_forwards_and_one_pass_each_way_per_step(steps: int) -> None:
    model = fresh()
    attribute(Job(model, BATCHES, METRIC), "EAP-IG-inputs", ig_steps=steps)
    assert model.counts["forward"] <= 2 * (2 + steps)
    assert model.counts["backward"] == 2 * steps
    assert model.counts["contraction"] == 2


@pytest.mark.parametrize("level", ["edge", "node"])
def test_a_curve_takes_one_clean_one_corrupted_and_a_pass_per_circuit(level: str) -> None:
    model = fresh()
    scores = attribute(Job(model, BATCHES, METRIC, level), "EAP")  # type: ignore[arg-type]
    counts = [scores.space.n_at(size) for size in MIB_SIZES]
    circuits = select(scores, counts, "top-n", ranking=Ranking.ABSOLUTE)
    model.counts.clear()
    evaluate_circuits(model, BATCHES, circuits, METRIC, Patching())
    assert len(circuits) == 10
    assert 2 * 3 <= model.counts["forward"] <= 2 * (2 + 10)
