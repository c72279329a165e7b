"""Query, key and value projections: three modules, or one whose rows belong to all three."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from harness_circuits.models.architecture import Names


class Projections:
    """The projections of one attention module, and how a fused one is laid out.

    A fused projection has all queries first, then keys, then values (GPT-2, Phi-3); or, interleaved,
    group by group the queries that share a key, that key and its value (GPT-NeoX, Falcon).

    Attributes:
        n_kv_heads: Key and value heads of the model.
        d_head: Width of a head.
    """

    def __init__(self, attention: nn.Module, names: Names, n_heads: int) -> None:
        """Read the number and width of heads off the weights."""
        self.modules = [attention.get_submodule(name) for name in names.projections]
        self.interleaved = names.interleaved
        self.n_heads = n_heads
        self.d_head = weight_of(attention.get_submodule(names.out)).shape[1] // n_heads
        rows = len(weight_of(self.modules[-1])) // self.d_head
        self.n_kv_heads = rows if len(self.modules) == 3 else (rows - n_heads) // 2

    def __call__(
        self, x: Float[Tensor, "batch pos model"], device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [batch, pos, head, d_head] on a device."""
        outs = [module(x).to(device) for module in self.modules]
        if len(outs) == 1:
            return self.split(outs[0], 2)
        q, k, v = (out.unflatten(-1, (-1, self.d_head)) for out in outs)
        return q, k, v

    def weights(self) -> list[tuple[Tensor, Tensor | None]]:
        """Per kind, weight [head, d_head, model] and bias [head, d_head]."""
        if len(self.modules) == 1:
            weights = list(self.split(weight_of(self.modules[0]), 0))
            fused = _bias(self.modules[0])
            biases = [None] * 3 if fused is None else list(self.split(fused, 0))
        else:
            weights = [weight_of(m).unflatten(0, (-1, self.d_head)) for m in self.modules]
            biases = [
                None if bias is None else bias.unflatten(0, (-1, self.d_head))
                for bias in map(_bias, self.modules)
            ]
        return list(zip(weights, biases, strict=True))

    def split(self, fused: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
        """Take what a fused projection gave apart: `dim` becomes [head, d_head]."""
        n, n_kv, d_head = self.n_heads, self.n_kv_heads, self.d_head
        if not self.interleaved:
            q, k, v = fused.unflatten(dim, (-1, d_head)).split((n, n_kv, n_kv), dim)
            return q, k, v
        group = n // n_kv
        parts = fused.unflatten(dim, (n_kv, group + 2, d_head))
        q = parts.narrow(dim + 1, 0, group).flatten(dim, dim + 1)
        return q, parts.select(dim + 1, group), parts.select(dim + 1, group + 1)


def weight_of(projection: nn.Module) -> Float[Tensor, "out in"]:
    """A projection's weight, detached, with one row per output."""
    weight = projection.weight
    assert isinstance(weight, Tensor)
    return weight.detach().T if isinstance(projection, Conv1D) else weight.detach()


def _bias(projection: nn.Module) -> Tensor | None:
    bias = getattr(projection, "bias", None)
    return bias.detach() if isinstance(bias, Tensor) else None
