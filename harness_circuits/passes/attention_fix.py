"""Attention recomputed with patched queries or keys (the QK fix of AtP*, arXiv 2403.00745).

A gradient underrates what a query or key does where the softmax is saturated. Here the head input
of one edge u -> v is changed as corrupting that edge changes it, the head's queries (or keys)
follow exactly, through norm, rotary embedding, mask and softmax, and so do its mixed values z:

    fix(u -> v) = sum over positions of  < z(patched) - z , d metric / d z >

As z = A v_values, this equals the paper's sum over the attention pattern's entries,
< A(patched) - A, d metric / d A >. All positions of a head's query or key are patched together, as
they are when the edge is corrupted. (For queries that is the paper's sum over single positions, as
a row of the pattern depends on no other query; the paper's nodes for keys are single positions.)
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.models.layer import Layer
from harness_circuits.passes.block_arguments import Arguments, block_arguments
from harness_circuits.passes.native import Tapped


class QueryKeyFix:
    """Effects of changed query and key inputs in one batch, for any number of gradients.

    Attributes:
        model: The model.
        inputs: The clean prompts.
        clean: Their recorded `block_in`, `q`, `k`, `v` and `mixed`.
    """

    def __init__(self, model: CircuitModel, inputs: Inputs, clean: Tapped) -> None:
        """Note what the clean run was."""
        self.model = model
        self.inputs = inputs
        self.clean = clean
        self._arguments: dict[int, Arguments] = {}

    @torch.no_grad()
    def effects(
        self,
        layer: int,
        change: Float[Tensor, "unit batch pos model"],
        gradients: Float[Tensor, "run batch pos head d_head"],
    ) -> dict[str, Float[Tensor, "run unit dst"]]:
        """Estimated rise of the summed metric, for each query (`q`) and key (`k`) destination.

        Args:
            layer: The layer of the destinations.
            change: What each unit adds to their residual input.
            gradients: Gradients at the heads' mixed values, of one or more runs.
        """
        n_units, parts = change.shape[0], self.model.layers[layer]
        arguments = self._of_size(n_units)[layer]
        names = ("block_in", "q", "k", "v", "mixed")
        x, q, k, v, mixed = (
            at.repeat(n_units, *[1] * (at.ndim - 1))
            for at in (self.clean[name][layer] for name in names)
        )
        new_q, new_k, _ = parts.project(x + change.flatten(0, 1))
        found = {}
        for kind, old, new in (("q", q, new_q), ("k", k, new_k)):
            n_dst = self.model.graph.n_heads if kind == "q" else self.model.graph.n_kv_heads

            def effect(patched: Tensor, kind: str = kind) -> Float[Tensor, "run unit head"]:
                queries, keys = (patched, k) if kind == "q" else (q, patched)
                moved = parts.core(queries, keys, v, arguments) - mixed
                moved = moved.unflatten(0, (n_units, -1)).to(self.model.sum_dtype)
                return torch.einsum("ubphd,rbphd->ruh", moved, gradients.to(moved.dtype))

            if not _heads_share_a_norm(parts):
                found[kind] = effect(new).unflatten(-1, (n_dst, -1)).sum(-1)
                continue
            alone = (_with_one(old, new, dst, n_dst) for dst in range(n_dst))
            found[kind] = torch.stack([effect(patched).sum(-1) for patched in alone], dim=-1)
        return found

    def _of_size(self, n_units: int) -> Arguments:
        """The arguments of every block's attention, for the inputs repeated some times."""
        if n_units not in self._arguments:
            self._arguments[n_units] = block_arguments(self.model, self.inputs.repeated(n_units))
        return self._arguments[n_units]


def _heads_share_a_norm(layer: Layer) -> bool:
    """Whether a norm of queries or keys spans heads (OLMo 2), so that one head moves the others."""
    norms = (layer.core.module._modules.get(name) for name in ("q_norm", "k_norm"))
    weights = (getattr(norm, "weight", None) for norm in norms)
    return any(weight is not None and weight.numel() > layer.d_head for weight in weights)


def _with_one(old: Tensor, new: Tensor, dst: int, n_dst: int) -> Tensor:
    """Queries or keys [row, pos, head, d_head] of which one destination's are new."""
    width = old.shape[2] // n_dst
    heads = slice(dst * width, (dst + 1) * width)
    patched = old.clone()
    patched[:, :, heads] = new[:, :, heads]
    return patched
