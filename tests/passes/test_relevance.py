"""RelP's rules one by one, by hand, and an unchanged forward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.tiny_models import ARCHITECTURES, random_hf, tiny_model, token_batches
from torch import Tensor, nn

from harness_circuits.attribution import Job, attribute
from harness_circuits.errors import UnsupportedModelError
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.passes.native import record
from harness_circuits.passes.relevance import Rules, relevance_rules

LOGIT_DIFF = METRICS.get("logit_diff")


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
