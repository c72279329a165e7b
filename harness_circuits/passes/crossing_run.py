"""Attention in a circuit over crossing edges: block by block, current or replaced.

At query span t a head mixes the values of every key span t'. The block (t, t') is made of

    logits   current or replaced query x current or replaced key
    value    current or replaced

as the crossing edges of q, k and v from t' to t are kept or not. Current are those that the circuit's
kept edges give; replaced are those of the run in which everything is replaced: with patching, of the
corrupted run. One softmax goes over the logits of all blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.models.attention_core import PerHead
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.attention_weights import Logits, attend_by, softmax
from harness_circuits.passes.block_arguments import rows_of
from harness_circuits.passes.crossing_scores import rows_per_chunk

Qkv = tuple[PerHead, PerHead, PerHead]


def kept_blocks(circuit: Circuit, layer: int) -> Bool[np.ndarray, "qkv query key head"] | None:
    """Blocks that deliver the current query, key and value; None where all do."""
    crossings = circuit.crossings
    if crossings is None:
        return None
    graph = circuit.space.graph
    columns = graph.attention_slice(layer)
    kept, real = crossings[:, :, columns], circuit.space.real[:, graph.n_src :, columns]
    if (kept == real).all():
        return None
    query, key, value = np.split(kept, [graph.n_heads, graph.n_heads + graph.n_kv_heads], axis=2)
    group = graph.n_heads // graph.n_kv_heads
    return np.stack([query, *(np.repeat(each, group, axis=2) for each in (key, value))])


def attend_crossing(
    model: CircuitModel,
    layer: int,
    current: Qkv,
    replaced: Qkv,
    kept: Bool[np.ndarray, "qkv query key head"],
    spans: Int[Tensor, "batch pos"],
    arguments: dict[str, Any],
) -> PerHead:
    """Mixed values of a layer's heads.

    Args:
        model: The model.
        layer: The layer.
        current: Queries, keys and values of the circuit's run, one per query head.
        replaced: Those of the run in which everything is replaced.
        kept: From `kept_blocks`.
        spans: The span of every token.
        arguments: What the model hands to the layer's attention.
    """
    n, n_pos = spans.shape
    step = rows_per_chunk(model, n_pos)
    device = model.layers[layer].device
    table, spans = torch.from_numpy(kept).to(device), spans.to(device)
    found = []
    for first in range(0, n, step):
        rows = slice(first, min(first + step, n))
        own = rows_of(arguments, rows, n, 4)
        at = spans[rows]
        tokens = table[:, at[:, :, None], at[:, None, :]].movedim(-1, 2)
        parts = [tuple(each[rows] for each in side) for side in (current, replaced)]
        found.append(_mixed(model, layer, parts[0], parts[1], tokens, own))
    return found[0] if len(found) == 1 else torch.cat(found)


def _mixed(
    model: CircuitModel,
    layer: int,
    current: tuple[Tensor, ...],
    replaced: tuple[Tensor, ...],
    kept: Bool[Tensor, "qkv row head pos key"],
    arguments: dict[str, Any],
) -> PerHead:
    """Mixed values, from logits of current and replaced queries and keys side by side."""
    (q, k, v), (q_new, k_new, v_new) = current, replaced
    n = len(q)

    def weights(logits: Logits) -> Logits:
        neither, of_q, of_k, both = logits.to(model.sum_dtype).chunk(4)
        with_q, without = torch.where(kept[1], neither, of_k), torch.where(kept[1], of_q, both)
        pattern = softmax(torch.where(kept[0], with_q, without))
        shares = torch.zeros_like(logits)
        shares[:n] = pattern * kept[2]
        shares[n : 2 * n] = pattern * ~kept[2]
        return shares

    stacked = (
        torch.cat([q, q_new, q, q_new]),
        torch.cat([k, k, k_new, k_new]),
        torch.cat([v, v_new, v, v]),
    )
    mixed = attend_by(model, layer, stacked, arguments, weights)
    return mixed[:n] + mixed[n : 2 * n]
