"""What is run for circuits that are asked for: once each, and nothing for dead ends."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from helpers.circuit_samples import random_circuits
from helpers.reference import exact_float64
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.ablation import make_ablation
from harness_circuits.ablation.patching import Patching
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import LEVELS, ScoreSpace
from harness_circuits.evaluation.distinct import distinct_runs
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuits

METRIC = METRICS.get("logit_diff")


def fresh(architecture: str = "gpt2") -> CircuitModel:
    """A model whose counts are its own."""
    model = tiny_model(architecture)
    model.counts = Counter()
    return model


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
def test_values_are_those_of_runs_with_dead_ends(architecture: str, level: str) -> None:
    model, (batch,) = tiny_model(architecture).at(level), token_batches(3)  # type: ignore[arg-type]
    circuits = random_circuits(model, level, seed=4)
    wholes = [Circuit.empty(circuits[0].space), *circuits]
    with torch.no_grad(), exact_float64():
        stream = AblatedStream(model, batch.clean, Patching().replacement(model, batch))
        clean = model.forward(batch.clean)
        logits = run_circuits(model, wholes, batch.clean, stream)
        wanted = np.array([METRIC(own, batch, clean).numpy() for own in logits])
        found = evaluate_circuits(model, [batch], circuits, METRIC, Patching())
    np.testing.assert_allclose(found.circuits, wanted[1:], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.empty, wanted[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("direction", ["noising", "denoising"])
def test_dead_ends_are_not_run_where_they_change_nothing(direction: str) -> None:
    model, batches = fresh(), token_batches(4, size=2)
    path = ["input->a0.h0<v>", "a0.h0->m1", "m1->logits"]
    space = ScoreSpace(model.graph)
    alone = Circuit.of_edges(model.graph, path)
    more = Circuit.of_edges(model.graph, [*path, "input->a1.h0<q>", "m0->logits"])
    nowhere = Circuit.of_edges(model.graph, ["input->a0.h0<q>", "m0->a1.h0<k>"])
    circuits = [alone, more, nowhere, alone, Circuit.full(space)]
    if direction == "denoising":  # there it is what is outside that is run
        circuits = [circuit.complement() for circuit in circuits]
    found = evaluate_circuits(model, batches, circuits, METRIC, Patching(), direction=direction)
    assert model.counts["circuits"] == len(batches) * 2  # the path, and nothing
    assert (found.circuits[0] == found.circuits[1]).all()
    other = found.empty if direction == "noising" else found.full
    np.testing.assert_allclose(found.circuits[2], other, rtol=0, atol=1e-12)
    assert not np.allclose(found.circuits[0], other)


def test_means_in_their_place_make_dead_ends_count() -> None:
    """A head that reads nothing but means does not put out its own mean."""
    model, batches = fresh(), token_batches(4, size=2)
    mean = make_ablation("mean", model, batches)
    fed_by_means = Circuit.of_edges(model.graph, ["m1->logits"])
    model.counts.clear()
    found = evaluate_circuits(model, batches, [fed_by_means], METRIC, mean)
    assert model.counts["circuits"] == len(batches) * 2
    assert not np.allclose(found.circuits[0], found.empty)


def test_the_empty_circuit_is_last_and_circuits_stay_themselves() -> None:
    model = tiny_model("gpt2")
    empty, (one, *_) = Circuit.empty(ScoreSpace(model.graph)), random_circuits(model, "edge")
    one, other = one.prune(), Circuit.full(one.space)
    runs, which = distinct_runs([empty, one, other, one], empty, prune=True)
    assert runs[0] is one and runs[1] is other and len(runs) == 3 and not runs[2].n_kept
    assert which.tolist() == [2, 0, 1, 0]
    assert distinct_runs([], empty, prune=True)[1].tolist() == []
