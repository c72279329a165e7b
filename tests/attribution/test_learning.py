"""The loop behind learned masks: what it optimises, what it keeps, how it ends."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.defined import LEARNED, few_steps
from helpers.tiny_models import tiny_model, token_batches, token_pairs

from harness_circuits.ablation import make_ablation
from harness_circuits.attribution import METHODS, Job, attribute
from harness_circuits.attribution.learning import loop
from harness_circuits.attribution.learning.minibatches import Minibatches
from harness_circuits.attribution.learning.objectives import Objective, indifference
from harness_circuits.attribution.mattr import soft_top_k
from harness_circuits.circuits.scores import LEVELS, Level, Scores
from harness_circuits.errors import CircuitFileError, NumericalError, OptionError
from harness_circuits.formats import read_scores
from harness_circuits.harness.options import read_options
from harness_circuits.machine.interrupts import Interrupted
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches
from harness_circuits.passes.masked_run import run_masked

LOGIT_DIFF = METRICS.get("logit_diff")
BATCHES = token_batches(6, 6, size=4)
QUICK = {"steps": 4, "pairs_per_step": 2}


def job(level: Level = "node", metric: Any = LOGIT_DIFF, architecture: str = "gpt2") -> Job:
    return Job(tiny_model(architecture), BATCHES, metric, level)


def learned(method: str = "MAttr", level: Level = "node", **options: Any) -> Scores:
    return attribute(job(level), method, **{**few_steps(method), **QUICK, **options})


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("objective", "complement"), [("metric", 0.0), ("match", 0.0), ("kl", 0.5)]
)
def test_the_gradient_of_a_loss_is_its_finite_difference(
    level: Level, objective: str, complement: float
) -> None:
    what = job(level)
    loss = Objective(what, objective, complement)
    data = Minibatches(what, 4, 0, loss.of_clean)
    part = data.at(0)
    assert part is not None
    mask = torch.from_numpy(np.random.default_rng(0).uniform(0.2, 0.8, what.space.n_units))
    value, gradient = loss.gradient(mask, part, data)
    direction = torch.from_numpy(np.random.default_rng(1).normal(size=len(mask))) * 1e-4
    ahead, behind = (loss.gradient(mask + x, part, data)[0] for x in (direction, -direction))
    slope = float(gradient @ direction)
    assert abs((ahead - behind) / 2 - slope) < 1e-4 * abs(slope)
    assert np.isfinite(value) and gradient.dtype == torch.float64


def test_objectives_are_what_they_say() -> None:
    what = job("node")
    (batch,) = token_batches(3, 6)
    what = replace(what, batches=[batch])
    mask = torch.full((what.space.n_units,), 0.5, dtype=torch.float64)
    logits = {}
    for name in ("metric", "match", "kl"):
        loss = Objective(what, name, 0.0)
        data = Minibatches(what, 3, 0, loss.of_clean)
        part = data.at(0)
        assert part is not None
        logits[name] = loss.gradient(mask, part, data)[0]
        soft = run_masked(what.model, "node", mask, part.batch.clean, data.stream(part))
        whole = what.model.forward(part.batch.clean)
        clean, own = LOGIT_DIFF(whole, part.batch), LOGIT_DIFF(soft, part.batch)
        kl = METRICS.get("kl")(soft, part.batch, whole)
        kept = {"metric": None, "match": (3,), "kl": whole.shape}[name]
        assert (None if part.clean is None else part.clean.shape) == kept
    assert logits["metric"] == pytest.approx(-float(own.sum()), rel=1e-9)
    assert logits["match"] == pytest.approx(float((own - clean).square().sum()), rel=1e-9)
    assert logits["kl"] == pytest.approx(-float(kl.sum()), rel=1e-9)
    with_complement = Objective(what, "metric", 2.0).gradient(mask, part, data)[0]
    apart = float(indifference(soft, part.batch).sum())  # at z = 1/2 the complement is the same run
    assert with_complement == pytest.approx(logits["metric"] + 2 * apart, rel=1e-9)
    assert apart >= 3 * np.log(2) - 1e-6, "the uniform distribution over two answers is the least"


@pytest.mark.parametrize("method", ["subnetwork-probing", "UGS", "DBM"])
def test_what_is_learned_lowers_the_loss(method: str) -> None:
    how = {"objective": "metric", "steps": 24, "pairs_per_step": 4, "learning_rate": 0.3}
    scores = learned(method, "edge", **how, penalty=0)
    curve = scores.provenance["loss_curve"]["loss"]
    assert np.mean(curve[-8:]) < np.mean(curve[:8])
    assert scores.values.min() == 0 and np.isfinite(scores.values).all()
    assert not scores.values[~scores.space.real].any()


@pytest.mark.parametrize("objective", ["metric", "match", "kl"])
def test_the_order_lowers_the_loss_at_every_size(objective: str) -> None:
    scores = learned(
        level="edge", objective=objective, steps=40, pairs_per_step=4, learning_rate=0.2
    )
    what = job("edge")
    loss = Objective(what, objective, 0.0)
    data = Minibatches(what, 6, 0, loss.of_clean)
    parts = [part for at in range(data.per_epoch) if (part := data.at(at)) is not None]
    own = torch.from_numpy(scores.values[scores.space.real])
    for share in (0.2, 0.5, 0.8):
        before, after = (
            sum(loss.gradient(soft_top_k(s, share * len(own), 0.5), p, data)[0] for p in parts)
            for s in (torch.zeros_like(own), own)
        )
        assert after < before


def test_scores_that_are_all_the_same_are_refused() -> None:
    flat = replace(LOGIT_DIFF, function=lambda logits, *_: logits[:, 0, 0] * 0)
    with pytest.raises(NumericalError, match="method=MAttr: after 4 steps all units have the same"):
        attribute(job(metric=flat), "MAttr", **QUICK)


@pytest.mark.parametrize("method", LEARNED)
def test_the_seed_decides(method: str) -> None:
    one, same, other = (learned(method, seed=seed).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-6


def test_an_epoch_has_every_pair_once() -> None:
    data = Minibatches(job(), 3, 0, None)
    assert data.per_epoch == sum(-(-len(batch) // 3) for batch in BATCHES) >= 2
    for epoch in range(2):
        parts = [data.at(epoch * data.per_epoch + at) for at in range(data.per_epoch)]
        assert sorted(i for part in parts if part for i in part.batch.indices) == list(range(6))


def test_what_is_not_kept_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = learned(level="edge").values
    monkeypatch.setattr("harness_circuits.attribution.learning.minibatches.KEPT_BYTES", 0)
    anew = learned(level="edge").values
    np.testing.assert_allclose(anew, kept, rtol=0, atol=1e-9)


def test_prompts_of_different_lengths_need_not_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of a batch's pairs, cut before what they share is run, have no more pads than their own."""
    pairs = [
        replace(
            pair,
            clean=pair.clean[:2] * n + pair.clean,
            corrupted=pair.clean[:2] * n + pair.corrupted,
        )
        for n, pair in enumerate(token_pairs(4, 12, n_changed=1, seed=5))
    ]
    (batch,) = make_batches(pairs, 4)
    assert batch.pads is not None
    own = replace(job("edge"), batches=[batch])
    how = {**QUICK, "objective": "match", "pairs_per_step": 3}
    kept = attribute(own, "MAttr", **how).values
    monkeypatch.setattr("harness_circuits.attribution.learning.minibatches.KEPT_BYTES", 0)
    np.testing.assert_allclose(attribute(own, "MAttr", **how).values, kept, rtol=0, atol=1e-9)


@pytest.mark.parametrize("ablation", ["zero", "mean", "mean-positional"])
def test_other_ablations_learn_too(ablation: str) -> None:
    how = make_ablation(ablation, tiny_model("gpt2"), BATCHES)
    scores = attribute(replace(job("edge"), ablation=how), "MAttr", **QUICK)
    assert scores.provenance["ablation"] == ablation and scores.values.any()


@pytest.fixture
def stops_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Has a signal come in the middle of a step."""
    step = loop._Run._step

    def at(number: int, which: signal.Signals = signal.SIGTERM) -> None:
        def stopped(self: Any, current: int) -> float:
            if current == number:
                os.kill(os.getpid(), which)
            return step(self, current)

        monkeypatch.setattr(loop._Run, "_step", stopped)

    yield at


@pytest.mark.parametrize("method", LEARNED)
def test_a_stopped_run_keeps_its_scores_and_goes_on(
    method: str, tmp_path: Path, stops_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learned(method, steps=5)
    stops_at(2)
    with pytest.raises(Interrupted, match="SIGTERM"):
        learned(method, steps=5, checkpoint=str(tmp_path))
    (kept,) = tmp_path.glob("*.safetensors")
    so_far = read_scores(kept)
    assert isinstance(so_far, Scores) and so_far.provenance["steps_done"] == 3
    monkeypatch.undo()
    before = tiny_model("gpt2").counts["backward"]
    resumed = learned(method, steps=5, checkpoint=str(tmp_path))
    left = before + 2 * few_steps(method).get("mask_samples", 1)
    assert tiny_model("gpt2").counts["backward"] == left
    np.testing.assert_allclose(resumed.values, whole.values, rtol=0, atol=1e-12)
    assert (resumed.provenance["steps_before"], whole.provenance["steps_before"]) == (3, 0)
    assert resumed.provenance["loss_curve"] == whole.provenance["loss_curve"]
    again = learned(method, steps=5, checkpoint=str(tmp_path))  # finished: nothing left to do
    assert tiny_model("gpt2").counts["backward"] == left
    np.testing.assert_array_equal(again.values, resumed.values)


def test_another_run_does_not_go_on_from_it(tmp_path: Path) -> None:
    for options in ({}, {"seed": 3}, {"objective": "match"}, {"level": "edge"}, {"steps": 5}):
        learned(checkpoint=str(tmp_path), **options)  # type: ignore[arg-type]
    assert len(list(tmp_path.glob("*.pt"))) == 5
    for side in ("clean", "corrupted"):
        how = make_ablation("mean", tiny_model("gpt2"), BATCHES, side)
        attribute(replace(job(), ablation=how), "MAttr", **QUICK, checkpoint=str(tmp_path))
    assert len(list(tmp_path.glob("*.pt"))) == 7
    weight = tiny_model("gpt2").hf.transformer.h[0].mlp.c_fc.weight.data
    before = weight.clone()
    weight[0, 0] += 1e-3  # the embeddings stay: an adapter leaves them too
    try:
        learned(checkpoint=str(tmp_path))
    finally:
        weight.copy_(before)
    assert len(list(tmp_path.glob("*.pt"))) == 8


def test_without_a_folder_a_stopped_run_says_that_nothing_is_kept(
    stops_at: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stops_at(1, signal.SIGINT)
    with caplog.at_level(logging.WARNING, "lm_eval.circuit"), pytest.raises(KeyboardInterrupt):
        learned()
    assert "stopped behind step 2 of 4; nothing is kept: give checkpoint=FOLDER" in caplog.text


def test_damage_and_folders_that_cannot_be_are_one_line(tmp_path: Path) -> None:
    learned(checkpoint=str(tmp_path))
    (state,) = tmp_path.glob("*.pt")
    state.write_bytes(state.read_bytes()[:99])
    with pytest.raises(CircuitFileError, match="is damaged and cannot be gone on from: remove it"):
        learned(checkpoint=str(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="checkpoint="):
        learned(checkpoint=str(tmp_path / "file"))


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    broken = replace(LOGIT_DIFF, function=lambda logits, *_: logits[:, 0, 0] * torch.nan)
    with pytest.raises(NumericalError, match="the loss of step 1 is nan"):
        attribute(job(metric=broken), "MAttr", **QUICK)


def test_methods_that_learn_have_no_samples() -> None:
    assert LEARNED
    for name in LEARNED:
        assert not METHODS.get(name).samples


def test_artifacts_give_a_folder_for_checkpoints() -> None:
    def folder(**arguments: Any) -> Any:
        settings = read_options({"method": "MAttr", **arguments}).settings
        assert "checkpoint" not in settings.to_dict()["method_options"]
        return settings.chosen_method_options()["checkpoint"]

    assert folder() is None
    assert folder(artifacts="out") == "out/learning"
    assert folder(artifacts="out", checkpoint="kept") == "kept"
    assert "checkpoint" not in read_options({"artifacts": "out"}).settings.method_options
