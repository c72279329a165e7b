"""The complement's curve and incompleteness, against gated runs of a reference in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.evidence_cases import additive, edge_space, model_subject, world
from helpers.random_circuits import random_circuit
from helpers.reference import Reference, gated_metric
from helpers.tiny_models import random_hf, tiny_model, token_batches
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.evidence.incompleteness import incompleteness, random_half
from harness_circuits.evidence.necessity import necessity

EDGES = {"input->a0.h0<v>": 0.5, "a0.h0->m1": 0.25, "m1->logits": 0.125, "input->logits": 0.125}


@pytest.mark.parametrize("level", ["edge", "node"])
def test_both_are_what_gated_runs_give(level: str) -> None:
    model, (batch,) = tiny_model("gpt2"), token_batches(4)
    circuit = random_circuit(model, level)
    subject = model_subject(model, [batch], [circuit], draws=3)
    reference = Reference(random_hf("gpt2"))
    answers = torch.stack([batch.answers.tokens[:, 0, 0], batch.answers.tokens[:, 1, 0]], 1)

    def mean(kept: Circuit) -> float:
        gates = torch.from_numpy(~kept.kept).double()
        with torch.no_grad():
            run = gated_metric(reference, batch.clean.ids, batch.corrupted.ids, gates, answers)
        return float(run.mean())

    space = circuit.space
    full, empty = mean(Circuit.full(space)), mean(Circuit.empty(space))
    found = necessity(subject)["curves"]["absolute"]
    f = (mean(circuit.complement()) - empty) / (full - empty)
    assert found["faithfulness"] == pytest.approx([f], abs=1e-9)
    assert found["necessity"] == pytest.approx([1 - f], abs=1e-9)
    ends = (found["necessity_ci95_low"][0], found["necessity_ci95_high"][0])
    assert ends[0] <= 1 - f <= ends[1]
    (point,) = subject.points
    generator = subject.generator(1, point)
    halves = [random_half(circuit, generator) for _ in range(3)]
    by_hand = [
        abs(mean(half.complement()) - mean(circuit & half.complement())) / abs(full - empty)
        for half in halves
    ]
    (one,) = incompleteness(subject)["circuits"]
    assert one["mean"] == pytest.approx(np.mean(by_hand), abs=1e-9)
    assert one["largest"] == pytest.approx(max(by_hand), abs=1e-9)


def test_whole_model_and_empty_circuit() -> None:
    """Without everything nothing is left, without nothing everything."""
    model = tiny_model("llama")
    space = ScoreSpace(model.graph, "edge")
    circuits = [Circuit.empty(space), Circuit.full(space)]
    found = necessity(model_subject(model, token_batches(3), circuits))["curves"]["absolute"]
    assert found["faithfulness"] == pytest.approx([1, 0], abs=1e-12)
    assert circuits[0].complement().kept.tolist() == circuits[1].kept.tolist()


@given(st.integers(0, 2**32 - 1))
def test_the_complement_of_the_complement_is_the_circuit(seed: int) -> None:
    space = edge_space()
    kept = space.real & (np.random.default_rng(seed).random(space.shape) < 0.5)
    circuit = Circuit(space, kept)
    assert np.array_equal(circuit.complement().complement().kept, kept)
    assert not (circuit & circuit.complement()).n_kept


def test_a_circuit_that_does_everything_is_needed_and_complete() -> None:
    circuit, effect = additive(EDGES)
    subject = world(effect, [circuit])
    found = necessity(subject)["curves"]["absolute"]
    assert found["necessity"] == pytest.approx([1])
    (one,) = incompleteness(subject)["circuits"]
    assert one["mean"] == pytest.approx(0, abs=1e-12) and one["ci95_low"] == 0


def test_a_circuit_with_a_spare_outside_is_incomplete() -> None:
    """Units outside make up for what is lost inside: m(M less K) stays, m(C less K) falls."""
    circuit, effect = additive(EDGES)
    spare, _ = additive({"a1.h0->logits": 1.0})

    def with_spare(other: Circuit) -> float:
        return 1.0 if (other & spare).n_kept else effect(other)

    subject = world(with_spare, [circuit])
    (one,) = incompleteness(subject)["circuits"]
    halves = [(circuit & random.complement()) for random in _halves(subject, circuit)]
    assert one["mean"] == pytest.approx(np.mean([1 - effect(half) for half in halves]))
    assert one["ci95_low"] <= one["mean"] <= one["ci95_high"]
    assert necessity(subject)["curves"]["absolute"]["necessity"] == pytest.approx([0])


def _halves(subject, circuit: Circuit) -> list[Circuit]:
    (point,) = subject.points
    generator = subject.generator(1, point)
    return [random_half(circuit, generator) for _ in range(incompleteness(subject)["subsets"])]


def test_values_are_run_once() -> None:
    circuit, effect = additive(EDGES)
    subject = world(effect, [circuit], noise=1.0)
    assert np.array_equal(subject.values([circuit]), subject.values([circuit]))
