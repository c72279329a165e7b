"""Paths from the input to the logits through spans of prompts: which edges at which spans lie on one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.spans import Spans


def on_paths(
    graph: Graph, spans: Spans, kept: Bool[np.ndarray, "span src dst"]
) -> Bool[np.ndarray, "span src dst"]:
    """Kept edges on a path from the input to the logits, through tokens that see each other.

    A head at a span reads the queries of that span, and keys and values of the spans it sees.
    """
    seen, n = spans.seen, len(spans)
    fed = np.zeros((n, graph.n_src), dtype=bool)
    fed[:, 0] = True
    for layer in range(graph.n_layers):
        block = graph.attention_slice(layer)
        into = np.asarray((kept[:, :, block] & fed[:, :, None]).any(axis=1))
        query = into[:, : graph.n_heads]
        group = graph.n_heads // graph.n_kv_heads
        key, value = np.split(into[:, graph.n_heads :], 2, axis=1)
        looked_at = np.repeat(seen @ (key | value), group, axis=1)
        fed[:, graph.head_slice(layer)] = query | looked_at
        mlp = graph.mlp_destination(layer)
        fed[:, graph.mlp_source(layer)] = (kept[:, :, mlp] & fed).any(axis=1)
    on = kept & fed[:, :, None]
    useful = on[:, :, -1].copy()
    for layer in reversed(range(graph.n_layers)):
        mlp, heads = graph.mlp_destination(layer), graph.head_slice(layer)
        on[:, :, mlp] &= useful[:, graph.mlp_source(layer), None]
        useful |= on[:, :, mlp]
        reading = useful[:, heads]
        grouped = reading.reshape(n, graph.n_kv_heads, -1).any(axis=2)
        looked_at = seen.T @ grouped
        wanted = np.concatenate([reading, looked_at, looked_at], axis=1)
        block = graph.attention_slice(layer)
        on[:, :, block] &= wanted[:, None, :]
        useful |= on[:, :, block].any(axis=2)
    return on
