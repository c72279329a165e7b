"""How many passes the methods and the curves take: what their speed rests on."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers.defined import DEFINED, few_steps
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.ablation import make_ablation
from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import METHODS, Job, attribute
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Level
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


@pytest.mark.parametrize(("method", "level", "ablation"), DEFINED, ids=map(str, DEFINED))
def test_methods_run_about_what_they_say(method: str, level: Level, ablation: str) -> None:
    """Within a factor of two, as plans of sweeps need it: forwards, twice the backwards, and units."""
    model = fresh()
    how = make_ablation(ablation, model, BATCHES)
    model.counts.clear()
    job = Job(model, BATCHES, METRIC, level, how)
    attribute(job, method, **few_steps(method))
    options = {**METHODS.get(method).defaults, **few_steps(method)}
    said = METHODS.get(method).passes(job.space, options)
    said += METHODS.get(method).passes_in_all(job.space, options) / job.n_examples
    counts = {kind: n / len(BATCHES) for kind, n in model.counts.items()}
    units = counts.get("patched", 0) + counts.get("circuits", 0)
    ran = 1 + units if units else counts.get("forward", 0) + 2 * counts.get("backward", 0)
    assert ran / 2.5 <= said <= 2.5 * ran
