"""The core of an attention module: all that lies between its projections."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness_circuits.circuits.graph import Graph

PerHead = Float[Tensor, "batch pos head d_head"]


class _Given(nn.Module):
    """Stands where a projection was and returns the value it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.value: Tensor | None = None

    def forward(self, *_: Any, **__: Any) -> Tensor:
        value, self.value = self.value, None
        assert value is not None
        return value


class _PassThrough(nn.Module):
    def forward(self, x: Tensor, **_: Any) -> Tensor:
        return x


class AttentionCore:
    """The model's attention from projected queries, keys and values to mixed values.

    A shallow copy of the HuggingFace module whose projections are replaced, so that rotary
    embeddings, query/key norms, masks, soft caps, caches and kernels are the model's own.
    """

    def __init__(
        self,
        module: nn.Module,
        projections: Sequence[str],
        out: str,
        graph: Graph,
        *,
        interleaved: bool,
        device: torch.device,
    ) -> None:
        """Copy the module and replace its projections.

        Args:
            module: The attention module.
            projections: What it calls its query, key and value projections, or the fused one.
            out: What it calls its output projection.
            graph: The model's graph.
            interleaved: Whether a fused projection has query, key and value head by head.
            device: Where the module's weights are.
        """
        self.module = _bare_copy(module)
        self.module._modules = dict(module._modules)
        self.inputs = tuple(_Given() for _ in projections)
        for name, given in zip(projections, self.inputs, strict=True):
            self.module._modules[name] = given
        self.module._modules[out] = _PassThrough()
        self.device = device
        self.interleaved = interleaved
        self.group = graph.n_heads // _kv_heads(self.module, graph)
        if self.group > 1:
            self._ungroup(graph.n_heads)

    def _ungroup(self, n_heads: int) -> None:
        """Take one key and value per query head, also where the model shares them."""
        self.module.num_key_value_groups = 1  # type: ignore[assignment]
        if hasattr(self.module, "num_key_value_heads"):
            self.module.num_key_value_heads = n_heads  # type: ignore[assignment]
        norm = self.module._modules.get("k_norm")
        weight = getattr(norm, "weight", None)
        head_dim = int(self.module.head_dim)  # type: ignore[arg-type]
        if norm is not None and isinstance(weight, Tensor) and weight.numel() > head_dim:
            repeated = (
                weight.detach().reshape(-1, 1, head_dim).expand(-1, self.group, -1).reshape(-1)
            )
            wide = _bare_copy(norm)
            wide._parameters = {**norm._parameters, "weight": nn.Parameter(repeated, False)}
            self.module._modules["k_norm"] = wide

    def __call__(self, q: PerHead, k: PerHead, v: PerHead, arguments: dict[str, Any]) -> PerHead:
        """Mix values; queries, keys and values have one entry per query head.

        They may lie on another device than the module; the mixed values come back to theirs. The
        tensors in `arguments` have to be on the module's.
        """
        home = q.device
        q, k, v = (x.to(self.device) for x in (q, k, v))
        if len(self.inputs) == 3:
            for given, value in zip(self.inputs, (q, k, v), strict=True):
                given.value = value.flatten(2)
        elif self.interleaved:
            self.inputs[0].value = torch.cat((q, k, v), dim=-1).flatten(2)
        else:
            self.inputs[0].value = torch.cat((q.flatten(2), k.flatten(2), v.flatten(2)), dim=-1)
        mixed = self.module(q.new_empty((*q.shape[:2], 0)), **arguments)
        mixed = mixed[0] if isinstance(mixed, tuple) else mixed
        return mixed.view(q.shape).to(home)


def _bare_copy(module: nn.Module) -> nn.Module:
    """A shallow copy without the hook that `device_map` puts on a module.

    Accelerate's hook is a `forward` in the module's own attributes, bound to the module: in a copy
    it would go on calling the original.
    """
    bare = copy.copy(module)
    if hasattr(module, "_hf_hook"):
        for name in ("forward", "_old_forward", "_hf_hook"):
            bare.__dict__.pop(name, None)
    return bare


def _kv_heads(attention: nn.Module, graph: Graph) -> int:
    groups = getattr(attention, "num_key_value_groups", 1)
    return graph.n_heads // int(groups)
