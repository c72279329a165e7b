"""Constants that are learned anew per circuit: what they minimise, where they start, what is kept."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.circuit_samples import random_circuits
from helpers.reference_cases import TRAINING, Case, clean, exact_case
from helpers.tiny_models import tiny_model, token_batches
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model
from torch import Tensor

import harness_circuits as hc
from harness_circuits.ablation import make_ablation, retrained
from harness_circuits.ablation.ablations import Training
from harness_circuits.ablation.constants import Constants, tensors_of
from harness_circuits.ablation.mean import Mean
from harness_circuits.ablation.retrained import Retrained
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import GRAPH_LEVELS, ScoreSpace
from harness_circuits.errors import CircuitFileError, OptionError
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.experiment import Experiment
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.settings import Settings

BATCHES = token_batches(6, 6, size=3)
LOGIT_DIFF = METRICS.get("logit_diff")


def made(steps: int = 3, **how: Any) -> Any:
    return make_ablation("optimal", tiny_model("gpt2"), BATCHES, retrain_steps=steps, **how)


def by_source(case: Case, tensors: list[Tensor]) -> Tensor:
    """Constants as the reference has what replaces outputs, [src, 1, 1, model]."""
    n, rows = case.model.graph.n_layers, [tensors[0][0, 0]]
    for index, layer in enumerate(case.model.layers):
        mixed, mlp = tensors[1 + index][0, 0], tensors[1 + n + index][0, 0]
        rows += [*torch.einsum("hd,hdm->hm", mixed, layer.w_o), mlp]
    return torch.stack(rows)[:, None, None]


@pytest.mark.parametrize("level", GRAPH_LEVELS)
@pytest.mark.parametrize("name", ["gpt2-ungrouped", "gemma2-ungrouped", "llama-grouped"])
def test_steps_are_those_of_the_gated_reference(name: str, level: str) -> None:
    """Adam on the divergence that brute force has, every destination gated by itself."""
    with exact_case(name) as case:
        batches, steps = make_batches(TRAINING, len(TRAINING)), 2
        shared: Any = case.ablation("mean")
        found = Retrained(shared.means, Training(case.model, batches, retrain_steps=steps))
        space = ScoreSpace(case.model.graph, level)  # type: ignore[arg-type]
        kept = (np.random.default_rng(3).random(space.shape) < 0.5) & space.real
        (own,) = found.for_each([Circuit(space, kept)])
        start = tensors_of(shared.means)
        offsets = [torch.zeros_like(x).requires_grad_() for x in start]
        adam = torch.optim.Adam(offsets, lr=retrained.RATE)
        ids, gates = clean(TRAINING), 1 - torch.from_numpy(kept).double()
        nothing = torch.zeros(
            space.graph.n_src, *ids.shape, space.graph.d_model, dtype=torch.float64
        )
        whole = case.reference.run(ids, torch.zeros_like(gates), nothing)[0].log_softmax(-1)

        def loss() -> Tensor:
            sizes = [x.square().mean(-1, keepdim=True).sqrt() for x in start]
            now = [x + o * s for x, o, s in zip(start, offsets, sizes, strict=True)]
            replacement = by_source(case, now).expand(-1, *ids.shape, -1)
            logits = case.reference.run(ids, gates, replacement)[0].log_softmax(-1)
            return (whole.exp() * (whole - logits)).sum(-1).mean()

        (change,) = found.changes
        assert change["shared"] == pytest.approx(float(loss().detach()), abs=1e-9)
        for _ in range(steps):
            adam.zero_grad()
            loss().backward()
            adam.step()
        assert change["retrained"] == pytest.approx(float(loss().detach()), abs=1e-7)
        assert change["retrained"] < change["shared"]
        for one, x, o in zip(tensors_of(own.means), start, offsets, strict=True):  # type: ignore[attr-defined]
            wanted = x + o.detach() * x.square().mean(-1, keepdim=True).sqrt()
            torch.testing.assert_close(one, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_they_are_never_worse_than_where_they_started(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    circuits = random_circuits(tiny_model("gpt2"), level, seed=1)
    better, same = made(10), made(2)
    better.for_each(circuits)
    assert all(x["retrained"] <= x["shared"] for x in better.changes)
    assert any(x["retrained"] < 0.98 * x["shared"] for x in better.changes)
    monkeypatch.setattr(retrained, "RATE", 1e3)
    for own in same.for_each(circuits):
        for one, other in zip(tensors_of(own.means), tensors_of(same.means), strict=True):
            assert torch.equal(one, other)
    assert all(x["retrained"] == x["shared"] for x in same.changes)


def test_without_steps_they_are_those_that_all_share() -> None:
    assert not isinstance(made(0), Retrained)
    circuits = random_circuits(tiny_model("gpt2"), "edge")
    shared = made(0)
    none = Retrained(shared.means, Training(tiny_model("gpt2"), BATCHES))
    how = tiny_model("gpt2"), token_batches(4, 6), circuits, LOGIT_DIFF
    one, other = evaluate_circuits(*how, shared), evaluate_circuits(*how, none)
    np.testing.assert_allclose(one.circuits, other.circuits, rtol=0, atol=1e-12)
    np.testing.assert_allclose(one.empty, other.empty, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_every_circuit_runs_with_its_own(level: str) -> None:
    model, ablation = tiny_model("gpt2"), made()
    circuits = [*random_circuits(model, level), Circuit.full(ScoreSpace(model.graph, level))]  # type: ignore[arg-type]
    batches = token_batches(4, 6)
    found = evaluate_circuits(model, batches, circuits, LOGIT_DIFF, ablation)
    empty = Circuit.empty(circuits[0].space)
    each = made().for_each([*circuits, empty])
    assert all(isinstance(own, Mean) for own in each) and len({id(own) for own in each}) > 2
    for row, circuit, own in zip(
        [*found.circuits, found.empty], [*circuits, empty], each, strict=True
    ):
        alone = evaluate_circuits(model, batches, [circuit], LOGIT_DIFF, Mean(own.means))
        wanted = alone.circuits[0] if circuit is not empty else alone.empty
        np.testing.assert_allclose(row, wanted, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.circuits[-1], found.full, rtol=0, atol=1e-12)


def test_what_was_learned_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    circuits = random_circuits(tiny_model("gpt2"), "node")[:2]
    first = made(folder=tmp_path).for_each(circuits)
    files = sorted(tmp_path.glob("constants-*.safetensors"))
    assert len(files) == 3  # shared ones, and each circuit's
    made(steps=4, folder=tmp_path).for_each(circuits)
    make_ablation("optimal", tiny_model("gpt2"), BATCHES[:1], folder=tmp_path)
    assert len(list(tmp_path.glob("*"))) == 6
    monkeypatch.setattr(Constants, "change", None)  # nothing is learned any more
    for one, other in zip(made(folder=tmp_path).for_each(circuits), first, strict=True):
        for x, y in zip(tensors_of(one.means), tensors_of(other.means), strict=True):
            assert torch.equal(x, y)
    for file in files:
        file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(CircuitFileError, match="is damaged: remove it to have it made anew"):
        made(folder=tmp_path)


def test_an_experiment_says_what_it_costs_and_what_came_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = hc.load_model(str(save_tiny_model(tmp_path / "model", "llama")), device="cpu")
    pairs = pairs_from_docs(documents(0, 8), "tiny")
    settings = Settings(method="EAP", ablation="optimal", retrain_steps=2, sizes=(0.2, 1.0))
    with caplog.at_level(logging.INFO, "lm_eval.circuit"):
        kept = tmp_path / "learning"
        result = Experiment(model, settings, pairs[:4], pairs[4:], folder=kept).run()
    # Both rankings of two sizes and the empty circuit; what keeps everything has no constants.
    assert (
        "retrain_steps=2 learns constants for up to 5 circuits, the empty one included"
        in caplog.text
    )
    assert "circuits from the model on training pairs" in caplog.text
    found = result.facts["retrained"]
    assert 2 <= len(found) <= 3 and len(list(kept.glob("*"))) == 1 + len(found)
    assert found[-1]["kept"] == 0 and all(x["retrained"] <= x["shared"] for x in found)
    shared = Experiment(model, replace(settings, retrain_steps=0), pairs[:4], pairs[4:]).run()
    assert "retrained" not in shared.facts
    np.testing.assert_allclose(shared.scores.values, result.scores.values, rtol=0, atol=1e-6)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ablation": "mean"}, "no effect with ablation=mean, .* it belongs to ablation=optimal"),
        ({"evidence": "necessity"}, "evidence=necessity runs others"),
        ({"selection": "repair"}, "selection=repair runs others"),
        ({"positions": "tokens"}, "positions=tokens runs others"),
    ],
)
def test_what_it_does_not_go_with_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=rf"^retrain_steps=2 .*{message}"):
        Settings.from_arguments({"ablation": "optimal", "retrain_steps": 2, **options})
