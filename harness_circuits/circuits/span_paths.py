"""Paths from the input to the logits through spans of prompts: which units lie on one.

A head at a span reads the query of that span with the keys and values of the spans it sees. Each such
block is a crossing edge of its query, its key and its value: [query span, key span, destination]. Where
these are no units of their own, all of them are there.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.spans import Spans


def units_on_paths(graph: Graph, spans: Spans) -> Bool[np.ndarray, "span row dst"]:
    """All units: those of `Graph` at every span, and crossing edges, that a path leads through."""
    edges = np.repeat(graph.edge_mask[None], len(spans), axis=0)
    edges[~np.array(spans.read), :, -1] = False
    if spans.crossing:
        edges = np.concatenate([edges, all_crossings(graph, spans)], axis=1)
    return on_paths(graph, spans, edges)


def all_crossings(graph: Graph, spans: Spans) -> Bool[np.ndarray, "query key dst"]:
    """Blocks of spans that see each other, for every query, key and value destination."""
    attention = np.zeros(graph.n_dst, dtype=bool)
    for layer in range(graph.n_layers):
        attention[graph.attention_slice(layer)] = True
    return np.asarray(spans.seen[:, :, None] & attention)


def on_paths(
    graph: Graph, spans: Spans, kept: Bool[np.ndarray, "span row dst"]
) -> Bool[np.ndarray, "span row dst"]:
    """Kept units on a path from the input to the logits, through tokens that see each other.

    Args:
        graph: The graph.
        spans: The spans.
        kept: Edges [span, src, dst], with rows of crossing edges behind the sources where these are
            units.
    """
    fed = _fed(graph, spans, kept)
    on, n_kv = kept.copy(), graph.n_kv_heads
    edges, crossings = on[:, : graph.n_src], on[:, graph.n_src :]
    edges &= fed[:, :, None]
    useful = edges[:, :, -1].copy()
    for layer in reversed(range(graph.n_layers)):
        mlp, heads = graph.mlp_destination(layer), graph.head_slice(layer)
        edges[:, :, mlp] &= useful[:, graph.mlp_source(layer), None]
        useful |= edges[:, :, mlp]
        block = graph.attention_slice(layer)
        reading = useful[:, heads]
        grouped = reading.reshape(len(spans), n_kv, -1).any(axis=2)
        serves = np.concatenate([reading, grouped, grouped], axis=1)[:, None]
        serves = serves & _blocks(graph, spans, kept, layer)
        if spans.crossing:
            serves &= _read(graph, np.asarray(edges[:, :, block].any(axis=1)))
            crossings[:, :, block] = serves
        wanted = serves.any(axis=0)
        wanted[:, : graph.n_heads] = serves[:, :, : graph.n_heads].any(axis=1)
        edges[:, :, block] &= wanted[:, None, :]
        useful |= edges[:, :, block].any(axis=2)
    return on


def _fed(
    graph: Graph, spans: Spans, kept: Bool[np.ndarray, "span row dst"]
) -> Bool[np.ndarray, "span src"]:
    """Sources that something reaches from the input."""
    kept_edges, group = kept[:, : graph.n_src], graph.n_heads // graph.n_kv_heads
    fed = np.zeros((len(spans), graph.n_src), dtype=bool)
    fed[:, 0] = True
    for layer in range(graph.n_layers):
        block = graph.attention_slice(layer)
        into = np.asarray((kept_edges[:, :, block] & fed[:, :, None]).any(axis=1))
        reached = (_read(graph, into) & _blocks(graph, spans, kept, layer)).any(axis=1)
        query, key, value = np.split(reached, [graph.n_heads, graph.n_heads + graph.n_kv_heads], 1)
        fed[:, graph.head_slice(layer)] = query | np.repeat(key | value, group, axis=1)
        mlp = graph.mlp_destination(layer)
        fed[:, graph.mlp_source(layer)] = (kept_edges[:, :, mlp] & fed).any(axis=1)
    return fed


def _blocks(
    graph: Graph, spans: Spans, kept: Bool[np.ndarray, "span row dst"], layer: int
) -> Bool[np.ndarray, "query key qkv"]:
    """Which blocks of a layer's attention are there: kept ones, or all that are seen."""
    if spans.crossing:
        return kept[:, graph.n_src :, graph.attention_slice(layer)]
    return spans.seen[:, :, None]


def _read(
    graph: Graph, at_spans: Bool[np.ndarray, "span qkv"]
) -> Bool[np.ndarray, "query key qkv"]:
    """Something known of queries, keys and values at their own spans, for all blocks they are in."""
    n, width = at_spans.shape
    found = np.broadcast_to(at_spans[None], (n, n, width)).copy()
    found[:, :, : graph.n_heads] = at_spans[:, None, : graph.n_heads]
    return found
