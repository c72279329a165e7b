"""RelP: rules one by one, what is conserved, and an unchanged forward pass."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import Reference, exact_float64, gate_gradient
from helpers.reference_cases import BY_HAND, CASES, PAIRS, clean, exact_case
from helpers.reference_rules import Linear
from helpers.tiny_models import ARCHITECTURES, random_hf, tiny_model, token_batches
from torch import Tensor, nn

from harness_circuits.ablation.zero import Zero
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.scores import LEVELS, Level
from harness_circuits.errors import UnsupportedModelError
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.passes.native import record
from harness_circuits.passes.relevance import Rules, read_mlp, relevance_rules

LOGIT_DIFF = METRICS.get("logit_diff")
OFF = {"ln_rule": False, "identity_rule": False, "half_rule": False}
WITHOUT_BIASES = ("llama", "mistral", "qwen3", "olmo2", "phi3")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_rules_it_is_eap_and_each_rule_changes_it(architecture: str, level: Level) -> None:
    model = tiny_model(architecture)
    job = Job(model, token_batches(), LOGIT_DIFF, level)
    eap = attribute(job, "EAP").values
    np.testing.assert_array_equal(attribute(job, "RelP", **OFF).values, eap)
    for rule in ("ln_rule", "identity_rule", "half_rule", "ah_rule"):
        scores = attribute(job, "RelP", **{**OFF, rule: True}).values
        same = np.allclose(scores, eap, rtol=0, atol=1e-3 * np.abs(eap).max())
        mlp = read_mlp(model.layers[0], "")
        relu = isinstance(mlp.activations[0], nn.ReLU)  # act(x) / x is its gradient
        no_product = rule == "half_rule" and not mlp.gated
        assert same == (no_product or (rule == "identity_rule" and relu))


class LinearReference(Reference):
    reader = Linear


@pytest.mark.parametrize("name", CASES)
def test_scores_are_gradients_of_gates_under_the_rules(name: str) -> None:
    with exact_case(name) as case:
        reference = LinearReference(case.model.hf, name.split("-")[1])
        with torch.no_grad():
            logits = reference.run(clean(PAIRS))[0]
            torch.testing.assert_close(logits, case.reference.run(clean(PAIRS))[0])
        for level, ablation in product(LEVELS, BY_HAND):
            job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))
            wanted = replace(case, reference=reference).brute_force(gate_gradient, level, ablation)
            got = attribute(job, "RelP").values
            assert np.abs(wanted).max() > 1e-3
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_forward_pass_is_unchanged_and_no_hook_is_left(architecture: str) -> None:
    model, (batch,) = tiny_model(architecture), token_batches()
    seen, logits = record(model, batch.clean, ("final", "mlp", "mixed"))
    with relevance_rules(model, Rules()):
        hooked = [m for m in model.hf.modules() if m._forward_hooks or m._forward_pre_hooks]
        assert len(hooked) > 2 * model.graph.n_layers
        seen_with, logits_with = record(model, batch.clean, ("final", "mlp", "mixed"))
    torch.testing.assert_close(logits_with, logits, rtol=0, atol=0)
    for point, layers in seen.at.items():
        for layer, x in layers.items():
            torch.testing.assert_close(seen_with[point][layer], x, rtol=0, atol=0)
    assert not [m for m in model.hf.modules() if m._forward_hooks or m._forward_pre_hooks]


@pytest.mark.parametrize("architecture", WITHOUT_BIASES)
def test_relevance_is_conserved(architecture: str) -> None:
    """Under all rules a model without biases is linear in what its nodes put out."""
    (batch,) = token_batches()
    model = tiny_model(architecture)
    with exact_float64(), torch.no_grad():
        metric = float(LOGIT_DIFF(model.forward(batch.clean), batch).mean())
        edge, node, neuron = (
            attribute(Job(model, [batch], LOGIT_DIFF, level, Zero()), "RelP", ah_rule=True).values
            for level in LEVELS
        )
    assert abs(metric) > 1e-2
    assert edge[:, -1].sum() == pytest.approx(metric, abs=1e-9)
    assert edge[0].sum() == pytest.approx(metric, abs=1e-9)
    assert node[0] == pytest.approx(metric, abs=1e-9)
    np.testing.assert_allclose(edge.sum(1), node, atol=1e-9)
    np.testing.assert_allclose(neuron.sum(1), node, atol=1e-9)


@pytest.mark.parametrize("architecture", ["llama", "olmo2"])
def test_what_enters_a_node_leaves_it(architecture: str) -> None:
    """Conservation inside the model, for MLPs and values: scores in are scores out."""
    model, batches = tiny_model(architecture), token_batches()
    with exact_float64():
        job = Job(model, batches, LOGIT_DIFF, "edge", Zero())
        edge = attribute(job, "RelP", ah_rule=True).values
    graph = model.graph
    for layer in range(graph.n_layers):
        mlp = graph.mlp_source(layer)
        assert edge[:, graph.mlp_destination(layer)].sum() == pytest.approx(
            edge[mlp].sum(), abs=1e-9
        )
        values = edge[:, graph.kind_slice(layer, "v")].sum(0)
        np.testing.assert_allclose(values, edge[graph.head_slice(layer)].sum(1), atol=1e-9)
        for kind in "qk":
            assert not edge[:, graph.kind_slice(layer, kind)].any()


def gradient(function: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
    inputs = tuple(x.detach().requires_grad_(True) for x in inputs)
    return torch.autograd.grad(function(*inputs).sum(), inputs)


def test_ln_rule_by_hand() -> None:
    """RMSNorm: gain / scale. LayerNorm: the same, after taking the mean out."""
    rms, layer = tiny_model("llama"), tiny_model("gpt2")
    x = torch.linspace(-2, 3, rms.graph.d_model, dtype=torch.float64)[None, None]
    with relevance_rules(rms, Rules()), relevance_rules(layer, Rules()):
        (of_rms,) = gradient(rms.layers[0].norm.module, x)  # type: ignore[union-attr]
        (of_layer,) = gradient(layer.layers[0].norm.module, x)  # type: ignore[union-attr]
    module: Any = rms.layers[0].norm.module  # type: ignore[union-attr]
    scale = (x.square().mean() + module.variance_epsilon).sqrt()
    torch.testing.assert_close(of_rms[0, 0], module.weight / scale)
    module = layer.layers[0].norm.module  # type: ignore[union-attr]
    scale = (x.var(correction=0) + module.eps).sqrt()
    wanted = (module.weight - module.weight.mean()) / scale
    torch.testing.assert_close(of_layer[0, 0], wanted)


def test_identity_rule_by_hand() -> None:
    model = tiny_model("llama")
    activation = model.layers[0].mlp.act_fn
    x = torch.tensor([-3.0, -0.5, 0.0, 1e-3, 2.0], dtype=torch.float64)
    with relevance_rules(model, Rules()):
        (got,) = gradient(activation, x)
    torch.testing.assert_close(got, torch.sigmoid(x))


def test_half_rule_by_hand() -> None:
    """down(silu(g x) * (u x)): half through each factor, the gate by sigmoid(g x), not silu'."""
    model = tiny_model("llama")
    mlp: Any = model.layers[0].mlp
    x = torch.linspace(-1, 1, model.graph.d_model, dtype=torch.float64)
    with relevance_rules(model, Rules()):
        (got,) = gradient(mlp, x)
    gate, up, down = (m.weight for m in (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
    g, u, back = gate @ x, up @ x, down.sum(0)
    through_gate = gate.T @ (back * u * torch.sigmoid(g))
    through_up = up.T @ (back * nn.functional.silu(g))
    torch.testing.assert_close(got, (through_gate + through_up) / 2)
    torch.testing.assert_close(got @ x, mlp(x).sum())  # conserved


def test_a_plain_mlp_has_no_product() -> None:
    mlp: Any = tiny_model("gpt2").layers[0].mlp
    x = torch.linspace(-1, 1, 32, dtype=torch.float64)
    with relevance_rules(tiny_model("gpt2"), Rules()):
        (got,) = gradient(mlp, x)
    before = mlp.c_fc(x)
    ratio = mlp.act(before) / before
    torch.testing.assert_close(got, mlp.c_fc.weight @ (ratio * mlp.c_proj.weight.sum(1)))


class Mixture(nn.Module):
    def __init__(self, expert: nn.Module) -> None:
        super().__init__()
        self.expert = expert

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.expert(x)
        return out


def test_other_mlps_are_refused_before_any_pass() -> None:
    hf = random_hf("llama")
    hf.model.layers[1].mlp = Mixture(hf.model.layers[1].mlp)  # type: ignore[union-attr, index, operator]
    model = take_apart(hf, name="mixed")
    with pytest.raises(UnsupportedModelError, match="method=RelP cannot be used with mixed") as e:
        attribute(Job(model, token_batches(), LOGIT_DIFF), "RelP")
    assert "Mixture has ['LlamaMLP']" in str(e.value)
    assert not model.counts["forward"]
    assert not [m for m in hf.modules() if m._forward_hooks]
