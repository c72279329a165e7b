"""The core of an attention module: all that lies between its projections."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness_circuits.models.architecture import Names
from harness_circuits.models.projections import Projections
from harness_circuits.models.windows import SEEN, seeing

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
        self, module: nn.Module, names: Names, projections: Projections, *, device: torch.device
    ) -> None:
        """Copy the module and replace its projections.

        Args:
            module: The attention module.
            names: What it calls its projections.
            projections: Them.
            device: Where the module's weights are.
        """
        self.module = _bare_copy(module)
        self.module._modules = dict(module._modules)
        self.module._buffers = dict(module._buffers)
        self.inputs = tuple(_Given() for _ in names.projections)
        for name, given in zip(names.projections, self.inputs, strict=True):
            self.module._modules[name] = given
        self.module._modules[names.out] = _PassThrough()
        self.device = device
        self.interleaved = names.interleaved
        self.group = projections.n_heads // projections.n_kv_heads
        # OLMo clips queries, keys and values in place, and these may be in use elsewhere.
        config = getattr(module, "config", None)
        self.in_place = getattr(config, "clip_qkv", None) is not None
        if self.group > 1:
            self._ungroup(projections.n_heads)

    def _ungroup(self, n_heads: int) -> None:
        """Take one key and value per query head, also where the model shares them."""
        self.module.num_key_value_groups = 1  # type: ignore[assignment]
        if hasattr(self.module, "num_key_value_heads"):
            self.module.num_key_value_heads = n_heads  # type: ignore[assignment]
        if hasattr(self.module, "multi_query"):  # Falcon: groups of one, head by head
            self.module.num_kv_heads = n_heads  # type: ignore[assignment]
            self.module.multi_query = False  # type: ignore[assignment]
            self.interleaved = True
        norm = self.module._modules.get("k_norm")
        weight = getattr(norm, "weight", None)
        head_dim = int(self.module.head_dim)  # type: ignore[arg-type]
        if norm is not None and isinstance(weight, Tensor) and weight.numel() > head_dim:
            heads = weight.detach().reshape(-1, head_dim).repeat_interleave(self.group, 0)
            repeated = heads if weight.ndim == 2 else heads.flatten()
            wide = _bare_copy(norm)
            wide._parameters = {**norm._parameters, "weight": nn.Parameter(repeated, False)}
            self.module._modules["k_norm"] = wide

    def __call__(self, q: PerHead, k: PerHead, v: PerHead, arguments: dict[str, Any]) -> PerHead:
        """Mix values; queries, keys and values have one entry per query head.

        They may lie on another device than the module; the mixed values come back to theirs. The
        tensors in `arguments` have to be on the module's.
        """
        home = q.device
        q, k, v = (x.to(self.device, copy=self.in_place) for x in (q, k, v))
        if len(self.inputs) == 3:
            for given, value in zip(self.inputs, (q, k, v), strict=True):
                given.value = value.flatten(2)
        elif self.interleaved:
            self.inputs[0].value = torch.cat((q, k, v), dim=-1).flatten(2)
        else:
            self.inputs[0].value = torch.cat((q.flatten(2), k.flatten(2), v.flatten(2)), dim=-1)
        arguments = dict(arguments)
        with seeing(self.module, arguments.pop(SEEN, None)):
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
