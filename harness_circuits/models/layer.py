"""One transformer block, taken apart.

An attention module is split in three: the projections before it (`Layer.project`), its core from
query, key and value to the heads' mixed values (`AttentionCore`), and the output projection.

A model may be spread over several devices (`device_map`). A block's weights and modules stay where
they are; what the methods of `Layer` are given may lie elsewhere, and what they return lies where
the argument did, so that passes work on the device of the embeddings (`CircuitModel.device`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from harness_circuits.circuits.graph import Graph
from harness_circuits.models.architecture import Names
from harness_circuits.models.attention_core import AttentionCore, PerHead
from harness_circuits.models.hidden import HiddenTap, hidden_tapped, mlp_projection
from harness_circuits.models.norms import Norm, read_norm
from harness_circuits.models.projections import Projections, weight_of


class Layer:
    """One transformer block, taken apart.

    Weights `w_q`, `w_k`, `w_v` [head, d_head, model] have the norm's gain folded in (see
    `Norm.fold`), `b_*` [head, d_head] its bias; key and value weights have one entry per kv head
    of the model. `w_o` is [head, d_head, model]. All lie on the block's `device`.
    """

    def __init__(self, block: nn.Module, names: Names, graph: Graph, where: str) -> None:
        """Read one block's parts."""
        self.graph = graph
        self.block_arguments = tuple(inspect.signature(block.forward).parameters)
        attention = block.get_submodule(names.attention)
        self.out = attention.get_submodule(names.out)
        like = weight_of(self.out)
        self.device = like.device
        self.norm = _norm(block, names.norm_before_attention, graph, where, like)
        self.projections = Projections(attention, names, graph.n_heads)
        self.core = AttentionCore(attention, names, self.projections, device=self.device)
        self.post_attention = _norm(block, names.norm_after_attention, graph, where, like)
        self.pre_mlp = _part(block, names.norm_before_mlp)
        if self.pre_mlp is None and graph.parallel and self.norm is not None:
            self.pre_mlp = self.norm.module  # one norm for attention and MLP, as in Phi
        steps = [block.get_submodule(name) for name in names.mlp]
        self.mlp = steps[0] if len(steps) == 1 else nn.Sequential(*steps)
        self.mlp_projection = mlp_projection(block, names.mlp_out)
        self.post_mlp = _part(block, names.norm_after_mlp)
        self.d_head = self.projections.d_head
        self.w_o = weight_of(self.out).T.reshape(graph.n_heads, self.d_head, graph.d_model)
        self.folded = self._fold()

    def project(self, x: Float[Tensor, "batch pos model"]) -> tuple[PerHead, PerHead, PerHead]:
        """Queries, keys and values of a residual input, each with one entry per query head."""
        y = x.to(self.device)
        y = y if self.norm is None else self.norm.module(y)
        q, k, v = self.projections(y, x.device)
        return q, self.ungroup(k), self.ungroup(v)

    def ungroup(self, x: PerHead) -> PerHead:
        """Repeat each key or value head for the query heads that share it."""
        group = self.graph.n_heads // x.shape[2]
        return x if group == 1 else x.repeat_interleave(group, dim=2)

    def ungrouped(self, qkv: Iterable[PerHead]) -> tuple[PerHead, PerHead, PerHead]:
        """Queries, keys and values, one per destination, with one entry per query head each."""
        q, k, v = qkv
        return q, self.ungroup(k), self.ungroup(v)

    def attention_sum(self, mixed: PerHead) -> Float[Tensor, "batch pos model"]:
        """The heads' results added up, with the output bias, before any post-norm."""
        out: Tensor = self.out(mixed.to(self.device).flatten(2))
        return out.to(mixed.device)

    def after_attention(self, x: Tensor) -> Tensor:
        """The attention's contribution to the residual stream: post-norm, where there is one."""
        if self.post_attention is None:
            return x
        after: Tensor = self.post_attention.module(x.to(self.device))
        return after.to(x.device)

    def mlp_out(
        self, x: Float[Tensor, "batch pos model"], tap: HiddenTap | None = None
    ) -> Float[Tensor, "batch pos model"]:
        """The MLP's contribution to the residual stream, norms included.

        Args:
            x: The residual that it reads.
            tap: Sees its hidden units, and returns those that it goes on with.
        """
        home, x = x.device, x.to(self.device)
        if self.pre_mlp is not None:
            x = self.pre_mlp(x)
        with hidden_tapped(self.mlp_projection, tap, home):
            out: Any = self.mlp(x)
        x = out[0] if isinstance(out, tuple) else out  # GPT-OSS gives its router's choice as well
        x = x if self.post_mlp is None else self.post_mlp(x)
        return x.to(home)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """Split a block's call into the hidden states and the arguments for its attention.

        The arguments come on the block's device: rotary tables, masks and positions.
        """
        bound = {**dict(zip(self.block_arguments, args, strict=False)), **kwargs}
        hidden = bound.pop("hidden_states")
        return hidden, {name: _moved(value, self.device) for name, value in bound.items()}

    def _fold(self) -> dict[str, tuple[Tensor, Tensor | None]]:
        """Projection weights per kind [head, d_head, model], the norm's gain and bias folded in."""
        folded = {}
        for kind, (weight, bias) in zip("qkv", self.projections.weights(), strict=True):
            folded[kind] = (weight, bias) if self.norm is None else self.norm.fold(weight, bias)
        return folded


def _moved(value: Any, device: torch.device) -> Any:
    """A block's argument on a device; caches and what else is no tensor are left alone."""
    if isinstance(value, Tensor):
        return value.to(device)
    if type(value) in (tuple, list):
        return type(value)(_moved(part, device) for part in value)
    return value


def _part(block: nn.Module, name: str | None) -> nn.Module | None:
    return None if name is None else block.get_submodule(name)


def _norm(
    block: nn.Module, name: str | None, graph: Graph, where: str, like: Tensor
) -> Norm | None:
    if name is None:
        return None
    return read_norm(block.get_submodule(name), graph.d_model, f"{where}.{name}", like)
