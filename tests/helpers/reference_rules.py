"""Changed backward passes, written out for `reference_model`: what RelP and GIM are compared with."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from helpers.reference_layers import Function, LayerReader, ReferenceLayer
from helpers.reference_model import Reference
from torch import Tensor, nn


def passing(x: Tensor, share: float) -> Tensor:
    """A tensor that passes a share of its gradient on."""
    return share * x + (1 - share) * x.detach()


class FrozenNorms(LayerReader):
    """Reads blocks whose norms have constant scales."""

    def norm(self, module: nn.Module, repeat: int = 1) -> Function:
        exact = super().norm(module, repeat)
        if self.kind == "olmo":
            return lambda x: (
                (x - x.mean(-1, keepdim=True))
                * (x.detach().var(-1, correction=0, keepdim=True) + 1e-5).rsqrt()
            )
        if isinstance(module, nn.LayerNorm):
            return lambda x: (
                (x - x.mean(-1, keepdim=True))
                * (x.detach().var(-1, correction=0, keepdim=True) + module.eps).rsqrt()
                * module.weight
                + module.bias
            )
        return lambda x: x * (exact(x.detach()) / x.detach())


class Linear(FrozenNorms):
    """Reads blocks whose norms, activations and products follow the rules of RelP."""

    def _mlp(self, block: Any) -> Function:
        parts = dict(block.named_children())
        if self.kind == "opt":
            parts["activation_fn"] = activated(block.activation_fn)
        else:
            parts["mlp"] = linear_mlp(block.mlp)
        return super()._mlp(SimpleNamespace(**parts))


def activated(act: nn.Module) -> Function:
    """An activation as act(x) / x times x."""
    return lambda x: x * (act(x.detach()) / x.detach())


def linear_mlp(
    mlp: nn.Module, activated: Callable[[nn.Module], Function] = activated, share: float = 0.5
) -> Function:
    """An MLP as act(x) / x times x, with a share of the gradient for each factor of a product."""
    parts = dict(mlp.named_children())
    (act,) = (m for name, m in parts.items() if "act" in name)
    matrices = [m for name, m in parts.items() if "act" not in name and name != "dropout"]
    through = activated(act)

    def run(x: Tensor) -> Tensor:
        if len(matrices) == 2 and "gate_up_proj" not in parts:
            out: Tensor = matrices[1](through(matrices[0](x)))
            return out
        if "gate_up_proj" in parts:
            gate, up = parts["gate_up_proj"](x).chunk(2, dim=-1)
        else:
            gate, up = parts["gate_proj"](x), parts["up_proj"](x)
        product = through(gate) * up
        out = parts["down_proj"](passing(product, share))
        return out

    return run


class GimReference(Reference):
    """A model whose backward pass follows some rules of GIM."""

    temperature, qk_scale, v_scale = 2.0, 0.25, 0.5

    def _heads(self, layer: ReferenceLayer, inputs: Tensor) -> list[Tensor]:
        parts = torch.split(layer.norm(inputs), [self.n_heads, self.n_kv, self.n_kv], dim=2)
        shares = (self.qk_scale, self.qk_scale, self.v_scale)
        values = []
        for name, part, share in zip("qkv", parts, shares, strict=True):
            weight, bias = layer.weights[name]
            out = torch.einsum("bphm,hdm->bphd", part, weight)
            out = passing(out if bias is None else out + bias, share)
            values.append(out if layer.clip is None else out.clamp(-layer.clip, layer.clip))
        q, k, v = values
        q, k = self._rotate(layer.norm_q(q)), self._rotate(layer.norm_k(k))
        k, v = (x.repeat_interleave(self.n_heads // self.n_kv, dim=2) for x in (k, v))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * layer.scale
        if layer.softcap:
            scores = layer.softcap * torch.tanh(scores / layer.softcap)
        at = torch.arange(inputs.shape[1])
        distance = at[:, None] - at[None, :]
        hidden = distance < 0
        if layer.window is not None:
            hidden = hidden | (distance >= layer.window)
        scores = scores.masked_fill(hidden, -torch.inf)
        soft = self.temperature * (scores / self.temperature).softmax(-1)
        pattern = scores.detach().softmax(-1) + soft - soft.detach()
        return list(torch.einsum("bhqk,bkhd,hdm->hbqm", pattern, v, layer.w_o).unbind(0))


def gim_reference(hf: Any, kv_heads: str, rules: dict[str, Any]) -> GimReference:
    """A reference under the options of GIM, given as the method has them."""
    share = rules["mlp_scale"]

    class Reader(FrozenNorms if rules["ln_rule"] else LayerReader):  # type: ignore[misc]
        def _mlp(self, block: Any) -> Function:
            parts = dict(block.named_children())
            if self.kind != "opt":
                parts["mlp"] = linear_mlp(block.mlp, lambda act: act, share)
            out: Function = super()._mlp(SimpleNamespace(**parts))
            return out

    options = {name: rules[name] for name in ("temperature", "qk_scale", "v_scale")}
    kind = type("Changed", (GimReference,), {"reader": Reader, **options})
    found: GimReference = kind(hf, kv_heads)
    return found
