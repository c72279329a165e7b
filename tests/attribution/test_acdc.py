"""ACDC against its algorithm on gates, one edge after the other, and what its thresholds mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import Reference, exact_float64, gated_metric
from helpers.reference_cases import PAIRS, answers, clean, corrupted
from helpers.tiny_models import ARCHITECTURES, random_hf, tiny_model, token_batches

from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.acdc import Sweep
from harness_circuits.attribution.circuit_losses import CircuitLosses
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.errors import NumericalError, OptionError
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS, Metric
from harness_circuits.pairs.batch import make_batches
from harness_circuits.selection import select

LOGIT_DIFF = METRICS.get("logit_diff")
FLIPPED = Metric(function=lambda *how: -LOGIT_DIFF(*how), description="wrong minus right logit")
SMALL: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 2, "n_head": 2},
    "gpt_neox": {"num_hidden_layers": 2, "num_attention_heads": 2},
    "gemma2": {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1},
}


def by_hand(
    reference: Reference, taus: list[float], *, kl: bool, magnitude: bool
) -> tuple[list[np.ndarray], np.ndarray]:
    """What is kept after each threshold, and what each edge's removal last cost."""
    with torch.no_grad():
        full = reference.run(clean(PAIRS))[0].log_softmax(-1)
        replacement = reference.outputs(corrupted(PAIRS))

    def divergence(logits: torch.Tensor) -> torch.Tensor:
        return (full.exp() * (full - logits.log_softmax(-1))).sum(-1)

    def loss(kept: np.ndarray) -> float:
        gates, metric = torch.from_numpy(1.0 - kept), divergence if kl else answers(PAIRS)
        how = {"replacement": replacement}
        with torch.no_grad():
            found = gated_metric(reference, clean(PAIRS), corrupted(PAIRS), gates, metric, **how)
        return float(found.mean())

    kept = reference.exists().numpy().astype(float)
    rises, current, states = np.zeros_like(kept), loss(kept), []
    span = loss(0 * kept) - current
    for tau in taus:
        for v in reversed(range(kept.shape[1])):
            for u in np.flatnonzero(kept[:, v])[::-1]:
                kept[u, v] = 0
                rises[u, v] = loss(kept) - current
                if (abs(rises[u, v]) if magnitude else rises[u, v]) < tau * span:
                    current += rises[u, v]
                else:
                    kept[u, v] = 1
        states.append(kept.astype(bool))
    return states, rises / span


@pytest.mark.parametrize(
    ("architecture", "loss", "magnitude"),
    [
        ("gpt2", "kl", False),
        ("gemma2", "kl", False),
        ("gpt_neox", "metric", False),
        ("gpt_neox", "metric", True),
    ],
)
def test_the_sweep_decides_as_edge_by_edge(architecture: str, loss: str, magnitude: bool) -> None:
    hf = random_hf(architecture, **SMALL[architecture]).double()
    taus = [1e-3, 1e-2, 1e-1]
    with exact_float64():
        model = take_apart(hf, name="small")
        states, _ = by_hand(Reference(hf), taus, kl=loss == "kl", magnitude=magnitude)
        job = Job(model, make_batches(PAIRS, 2, room=8), FLIPPED)
        how = {"loss": loss, "magnitude": magnitude}
        scores = attribute(job, "ACDC", tau_min=1e-3, tau_max=1e-1, tau_steps=3, **how)
    facts = scores.provenance["thresholds"]
    assert [fact["kept"] for fact in facts] == [int(kept.sum()) for kept in states]
    assert 0 < facts[-1]["kept"] < model.graph.n_edges
    for kept, fact in zip(states, facts, strict=True):
        np.testing.assert_array_equal((scores.values >= fact["tau"]) & job.space.real, kept)
        how = {"ranking": Ranking.SIGNED, "threshold": fact["tau"]}
        (circuit,) = select(scores, [job.space.n_units], "threshold", **how)
        np.testing.assert_array_equal(circuit.kept, Circuit(job.space, kept).prune().kept)
    assert (scores.values >= 0).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_circuits_that_start_at_a_layer_are_whole_runs(architecture: str) -> None:
    """Of circuits that keep the base's edges into the layers before, several batches or one."""
    model, generator = tiny_model(architecture), np.random.default_rng(0)
    graph, space = model.graph, Job(model, token_batches(), LOGIT_DIFF).space
    for batches in (token_batches(4), token_batches(4, size=3)):
        losses = CircuitLosses(Job(model, batches, LOGIT_DIFF), LOGIT_DIFF)
        base = space.real & (generator.random(space.shape) < 0.8)
        losses.start_from(Circuit(space, base))
        for first in range(graph.n_layers + 1):
            kept = np.repeat(base[None], 3, axis=0)
            start = first * graph.destinations_per_layer
            kept[:, :, start:] &= generator.random(kept[:, :, start:].shape) < 0.7
            circuits = [Circuit(space, k) for k in kept]
            np.testing.assert_allclose(losses(circuits, first), losses(circuits), atol=1e-9)


def test_the_loss_rises_by_less_than_the_threshold_per_edge() -> None:
    job = Job(tiny_model("gpt2"), token_batches(2), LOGIT_DIFF)
    sweep = Sweep(job, CircuitLosses(job, METRICS.get("kl")))
    sweep.remove_below(-np.inf, magnitude=False)
    assert sweep.kept.sum() == job.space.n_units and abs(sweep.loss) < 1e-9
    tau = 0.01 * sweep.span
    sweep.remove_below(tau, magnitude=False)
    removed = job.space.n_units - int(sweep.kept.sum())
    assert 0 < removed < job.space.n_units
    assert sweep.loss < removed * tau
    (again,) = sweep.losses([Circuit(job.space, sweep.kept)])
    assert again == pytest.approx(sweep.loss, abs=1e-9)
    sweep.remove_below(np.inf, magnitude=False)
    assert not sweep.kept.any()
    assert sweep.loss == pytest.approx(sweep.span)


def test_what_cannot_be_swept_is_refused() -> None:
    job = Job(tiny_model("gpt2"), token_batches(2), LOGIT_DIFF)
    with pytest.raises(OptionError, match=r"tau_min=0.5 is above tau_max=0.1"):
        attribute(job, "ACDC", tau_min=0.5)
    same = Metric(function=lambda logits, *_: logits[:, 0, 0] * 0, description="zero")
    with pytest.raises(NumericalError, match="nothing is lost"):
        attribute(Job(job.model, job.batches, same), "ACDC", loss="metric")


def test_what_batches_need_is_kept_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batches = tiny_model("gpt2"), token_batches(4, size=3)
    space = Job(model, batches, LOGIT_DIFF).space
    circuits, found = [Circuit.empty(space)], []
    for room, runs in ((2**28, 0), (0, 6)):  # of 2 batches: model, replaced outputs, base
        monkeypatch.setattr("harness_circuits.attribution.circuit_losses.KEPT_BYTES", room)
        losses = CircuitLosses(Job(model, batches, LOGIT_DIFF), LOGIT_DIFF)
        found.append(losses(circuits))
        before = model.counts["forward"]
        assert losses(circuits) == found[-1]
        assert model.counts["forward"] - before == runs + 2
    assert found[0] == found[1]
