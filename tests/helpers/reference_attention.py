"""Heads of the reference model: from queries, keys and values to outputs, block by block if wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from helpers.reference_layers import ReferenceLayer
from torch import Tensor

if TYPE_CHECKING:
    from helpers.reference_model import Reference

Qkv = tuple[Tensor, Tensor, Tensor]  # each [batch, pos, head, d_head]


def heads(layer: ReferenceLayer, q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
    """Every head's output, [batch, pos, model]."""
    return _mixed(layer, _logits(layer, q, k, -torch.inf).softmax(-1), v)


def blocks(crossings: Tensor, reference: Reference) -> Qkv:
    """Gates of crossing edges [query span, key span, qkv] as gates [batch, head, pos, key] of each."""
    assert reference.spans is not None
    n, n_kv = reference.n_heads, reference.n_kv
    parts = torch.split(crossings, [n, n_kv, n_kv], dim=2)
    at = reference.spans[:, :, None], reference.spans[:, None, :]
    q, k, v = (
        part.repeat_interleave(n // part.shape[2], dim=2)[at].movedim(-1, 1) for part in parts
    )
    return q, k, v


def crossed_heads(layer: ReferenceLayer, own: Qkv, other: Qkv, gates: Qkv) -> list[Tensor]:
    """Every head's output where gates say whose query, key and value each pair of tokens has."""
    logits = torch.zeros_like(gates[0])
    for q, share_q in ((own[0], 1 - gates[0]), (other[0], gates[0])):
        for k, share_k in ((own[1], 1 - gates[1]), (other[1], gates[1])):
            logits = logits + share_q * share_k * _logits(layer, q, k, 0.0)
    unseen = _logits(layer, own[0] * 0, own[1] * 0, -torch.inf)
    pattern = (logits + unseen).softmax(-1)
    sides = (
        _mixed(layer, pattern * (1 - gates[2]), own[2]),
        _mixed(layer, pattern * gates[2], other[2]),
    )
    return [a + b for a, b in zip(*sides, strict=True)]


def _mixed(layer: ReferenceLayer, pattern: Tensor, v: Tensor) -> list[Tensor]:
    return list(torch.einsum("bhqk,bkhd,hdm->hbqm", pattern, v, layer.w_o).unbind(0))


def _logits(layer: ReferenceLayer, q: Tensor, k: Tensor, hidden: float) -> Tensor:
    """Logits [batch, head, query, key], with a number where no key is seen."""
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * layer.scale
    if layer.softcap:
        scores = layer.softcap * torch.tanh(scores / layer.softcap)
    at = torch.arange(q.shape[1])
    distance = at[:, None] - at[None, :]
    unseen = distance < 0
    if layer.window is not None:
        unseen = unseen | (distance >= layer.window)
    return scores.masked_fill(unseen, hidden)
