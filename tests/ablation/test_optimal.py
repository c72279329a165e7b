"""Learned constants: what runs, and that they are no worse than means."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.ablation import make_ablation, optimal
from harness_circuits.ablation.ablations import Training
from harness_circuits.ablation.optimal import _Data, _Removed, _RemovedRun
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuit
from harness_circuits.passes.native import Outputs

BATCHES = token_batches(6, 6, size=3)


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "gemma2", "llama", "opt"])
def test_a_run_that_loses_nodes_is_the_run_of_their_circuit(architecture: str) -> None:
    model, (batch, *_) = tiny_model(architecture), BATCHES
    means = make_ablation("mean", model, BATCHES)
    constants = means.means  # type: ignore[attr-defined]
    space = ScoreSpace(model.graph, "node")
    draws = np.random.default_rng(0).random((len(batch), *space.shape)) < 0.5
    positions = model.position_embedding(batch.clean, constants.embedded)
    removed = _Removed(torch.from_numpy(draws), constants)
    with torch.no_grad():
        got = model.forward(batch.clean, _RemovedRun(model, removed, positions))
    stream = AblatedStream(model, batch.clean, means.replacement(model, batch))
    for row, kept in enumerate(draws):
        wanted = run_circuit(model, Circuit(space, kept), batch.clean, stream)
        torch.testing.assert_close(got[row], wanted[row], rtol=0, atol=1e-5)


def test_constants_are_better_than_means_and_these_than_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optimal, "STEPS", 60)
    model = tiny_model("gpt2")
    data = _Data(Training(model, BATCHES))

    def divergence(constants: Outputs) -> float:
        with torch.no_grad():
            found = [float(data.loss(at % 2, 10_000 + at, constants)) for at in range(40)]
        return float(np.mean(found))

    learned, means = (make_ablation(name, model, BATCHES).means for name in ("optimal", "mean"))  # type: ignore[attr-defined]
    zeros = make_ablation("zero", model, BATCHES).replacement(model, BATCHES[0])
    assert divergence(learned) < divergence(means) < divergence(zeros)


def test_what_is_no_better_than_the_means_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(optimal, "RATE", 100.0)
    model = tiny_model("llama")
    with caplog.at_level(logging.INFO, "lm_eval.circuit"):
        learned = make_ablation("optimal", model, BATCHES)
    means = make_ablation("mean", model, BATCHES)
    for one, other in zip(learned.means.mlp, means.means.mlp, strict=True):  # type: ignore[attr-defined]
        assert torch.equal(one, other)
    assert "with means" in caplog.text and "the means are taken" in caplog.text
