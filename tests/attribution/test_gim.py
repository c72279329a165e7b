"""GIM: each rule against autograd through what it says, an unchanged forward pass, refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import gate_gradient
from helpers.reference_cases import BY_HAND, CASES, PAIRS, Case, clean, exact_case
from helpers.reference_rules import gim_reference
from helpers.tiny_models import ARCHITECTURES, random_hf, tiny_model, token_batches
from torch import Tensor, nn

from harness_circuits.attribution import METHODS, Job, attribute
from harness_circuits.circuits.scores import GRAPH_LEVELS, Level
from harness_circuits.errors import UnsupportedModelError
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.passes.native import NativeRun
from harness_circuits.passes.relevance import Rules, relevance_rules
from harness_circuits.passes.tempered import TemperedRun

LOGIT_DIFF = METRICS.get("logit_diff")
ALL = METHODS.get("GIM").defaults
OFF = {"ln_rule": False, "temperature": 1.0, "qk_scale": 1.0, "v_scale": 1.0, "mlp_scale": 1.0}
GATED = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "olmo2", "olmo", "phi3")


def compare(case: Case, name: str, level: Level, ablation: str, rules: dict[str, Any]) -> None:
    reference = gim_reference(case.model.hf, name.split("-")[1], rules)
    with torch.no_grad():
        logits = reference.run(clean(PAIRS))[0]
        torch.testing.assert_close(logits, case.reference.run(clean(PAIRS))[0])
    job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))
    wanted = replace(case, reference=reference).brute_force(gate_gradient, level, ablation)
    got = attribute(job, "GIM", **rules).values
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("name", CASES)
def test_scores_are_gradients_of_gates_under_the_rules(name: str) -> None:
    """All rules at every level, under ablations that take turns; and one rule alone."""
    with exact_case(name) as case:
        at = CASES.index(name)
        for level in GRAPH_LEVELS:
            compare(case, name, level, BY_HAND[at % len(BY_HAND)], ALL)
        alone = list(ALL)[at % len(ALL)]
        compare(case, name, GRAPH_LEVELS[at % 3], "patching", {**OFF, alone: ALL[alone]})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_rules_it_is_eap_and_each_rule_changes_it(architecture: str) -> None:
    job = Job(tiny_model(architecture), token_batches(), LOGIT_DIFF)
    eap = attribute(job, "EAP").values
    np.testing.assert_array_equal(attribute(job, "GIM", **OFF).values, eap)
    for rule, value in ALL.items():
        scores = attribute(job, "GIM", **{**OFF, rule: value}).values
        same = np.allclose(scores, eap, rtol=0, atol=1e-3 * np.abs(eap).max())
        assert same == (rule == "mlp_scale" and architecture not in GATED)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_forward_pass_is_unchanged(architecture: str) -> None:
    """To the bit, in a run with gradients."""
    model, (batch,) = tiny_model(architecture, dtype=torch.float32), token_batches()
    how: dict[str, Any] = {"scales": {"q": 0.25, "k": 0.25, "v": 0.5}, "temperature": 2.0}
    points = ("final", "mixed", "mlp")
    usual = NativeRun(model, points, differentiable=True)
    changed = TemperedRun(model, points, differentiable=True, frozen_norms=True, **how)
    logits = model.forward(batch.clean, usual)
    with relevance_rules(model, Rules(activations=False)):
        logits_with = model.forward(batch.clean, changed)
    torch.testing.assert_close(logits_with, logits, rtol=0, atol=0)
    for point in points:
        for layer, x in usual.seen[point].items():
            torch.testing.assert_close(changed.seen[point][layer], x, rtol=0, atol=0)


@pytest.mark.parametrize("temperature", [1.5, 4.0])
def test_the_softmax_rule_by_hand(temperature: float) -> None:
    """One head of two positions: z_1 = p v_0 + (1 - p) v_1, with p(1 - p) at the temperature."""
    hf = random_hf("gpt2", n_head=1, n_layer=1, n_embd=4).double()
    model = take_apart(hf, name="one head")
    q, k, v = (
        torch.randn(1, 2, 1, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        for seed in range(3)
    )
    q.requires_grad_(True)
    run = TemperedRun(model, (), temperature=temperature, scales={})
    found: list[Tensor] = []

    def function(index: int, x: Tensor, arguments: dict[str, Any]) -> Tensor:
        found.append(run.attend(0, q, k, v, arguments))
        return x

    (batch,) = token_batches(1, 2, n_changed=1)
    model.forward(batch.clean, function)
    (got,) = torch.autograd.grad(found[0][0, 1].sum(), q)
    with torch.no_grad():
        scores = k[0, :, 0] @ q[0, 1, 0] / 2
        p = (scores / temperature).softmax(0)
        wanted = p[0] * p[1] * (v[0, 0, 0] - v[0, 1, 0]).sum() * (k[0, 0, 0] - k[0, 1, 0]) / 2
    torch.testing.assert_close(got[0, 1, 0], wanted)
    assert not got[0, 0].any()  # the first position sees itself alone


def test_attention_without_a_softmax_is_refused() -> None:
    hf = random_hf("llama")
    model = take_apart(hf, name="linear")

    class Linear(nn.Module):
        def forward(self, *_: Any, **__: Any) -> Tensor:
            return sum(given.value.sum() for given in core.inputs) + torch.zeros(4, 6, 32)  # type: ignore[union-attr, return-value]

    core = model.layers[1].core
    core.module = Linear()
    job = Job(model, token_batches(), LOGIT_DIFF, whole_prompts=True)
    with pytest.raises(UnsupportedModelError, match="method=GIM cannot be used with linear") as e:
        attribute(job, "GIM")
    assert "Linear of layer 1 does so 0 times" in str(e.value)
    assert not [m for m in hf.modules() if m._forward_hooks or m._forward_pre_hooks]
    attribute(job, "GIM", temperature=1.0)


def test_mlps_without_rules_are_refused() -> None:
    hf = random_hf("llama")
    hf.model.layers[1].mlp = nn.Sequential(hf.model.layers[1].mlp)  # type: ignore[union-attr, index, operator]
    model = take_apart(hf, name="mixed")
    with pytest.raises(UnsupportedModelError, match="method=GIM cannot be used with mixed"):
        attribute(Job(model, token_batches(), LOGIT_DIFF), "GIM")
    assert not model.counts["forward"]
