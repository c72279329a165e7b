"""Where the nodes and edges of a circuit over spans go: one column of nodes per span, layers upward.

A node stands in the column of every span at which the circuit keeps something that it puts out. Edges
into queries and MLPs stay within their column. A head reads keys and values of earlier spans: an edge
into its key or value at a span goes to the head wherever it stands in a column that sees that span, so
that lines between columns are what attention carries from span to span.

Where crossing edges are units of their own, every edge stays within its column, and a head that reads or
is read at several spans has a box in each: arrows between these are its crossing edges. That of a span
with itself is the box.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import OptionError
from harness_circuits.report.drawing.layout import (
    MOST_EDGES,
    Drawing,
    DrawnEdge,
    DrawnNode,
    edge_kind,
    heights_of,
    kind_of_node,
    row_of,
)

GAP = 0.7  # between columns

Place = tuple[int, int]  # span, node
Key = tuple[Place, Place, str]


def lay_out_spans(circuit: Circuit, scores: Scores | None = None) -> Drawing:
    """Lay out a circuit over spans.

    Args:
        circuit: The circuit.
        scores: Scores over the same spans, for widths and signs.

    Raises:
        OptionError: The circuit is empty, too large to draw, or the scores belong elsewhere.
    """
    spans = circuit.space.spans
    assert spans is not None
    if not 0 < circuit.n_kept <= MOST_EDGES:
        raise OptionError(
            f"A drawing shows 1 to {MOST_EDGES} edges, this circuit has {circuit.n_kept}. Draw a "
            "smaller size of it, or scores with --keep N."
        )
    if scores is not None and scores.space != circuit.space:
        raise OptionError("The scores for a drawing are over the circuit's own graph and spans.")
    lines = _collect(circuit, spans, scores)
    nodes, columns = _place(circuit, spans, {place for a, b, _ in lines for place in (a, b)})
    strongest = max(abs(sum(s for s, _ in members)) for members in lines.values()) or 1.0
    drawn = []
    for (a, b, kind), members in lines.items():
        total = sum(score for score, _ in members)
        names = tuple(name for _, name in sorted(members, key=lambda member: -abs(member[0])))
        strength = 1.0 if scores is None else abs(total) / strongest
        score = None if scores is None else total
        drawn.append(DrawnEdge(nodes[a], nodes[b], kind, names, score, strength))
    drawn.sort(key=lambda edge: edge.strength)
    ordered = tuple(nodes[place] for place in sorted(nodes, key=lambda p: (nodes[p].y, p)))
    scored = scores is not None
    return Drawing(ordered, tuple(drawn), circuit.n_kept, False, scored, columns=columns)


def _collect(
    circuit: Circuit, spans: Spans, scores: Scores | None
) -> dict[Key, list[tuple[float, str]]]:
    """Score and name of the edges of every line, by its ends and kind."""
    graph, seen = circuit.space.graph, spans.seen
    sends = np.concatenate(
        [circuit.edges_at_spans.any(axis=2), np.array(spans.read)[:, None]], axis=1
    )  # the logits stand behind all sources
    group = graph.n_heads // graph.n_kv_heads
    crossings = circuit.crossings
    lines: dict[Key, list[tuple[float, str]]] = defaultdict(list)
    for span, src, dst in np.argwhere(circuit.kept).tolist():
        score = 0.0 if scores is None else float(scores.values[span, src, dst])
        member = score, circuit.space.unit_name(span, src, dst)
        kind, owner = edge_kind(graph.destination_names[dst]), int(graph.destination_owner[dst])
        crosses = kind in ("k", "v")
        owners = range(owner, owner + group) if crosses else [owner]
        at = np.flatnonzero(seen[:, span]).tolist() if crosses else [span]
        if src >= graph.n_src:
            key = src - graph.n_src
            for head in owners if key != span else ():
                if sends[span, head]:
                    lines[(key, head), (span, head), kind].append(member)
        elif crossings is not None and crosses:
            queries = np.flatnonzero(crossings[:, span, dst])
            for head in owners:
                if sends[queries, head].any():
                    lines[(span, src), (span, head), kind].append(member)
        else:
            for place, head in product(at, owners):
                if sends[place, head]:
                    lines[(span, src), (place, head), kind].append(member)
    return lines


def _place(
    circuit: Circuit, spans: Spans, present: set[Place]
) -> tuple[dict[Place, DrawnNode], tuple[tuple[float, str], ...]]:
    """Nodes at their places, and the middles of the columns."""
    graph = circuit.space.graph
    names = (*graph.source_names, "logits")
    heights = heights_of(sorted({row_of(graph, node) for _, node in present}))
    nodes: dict[Place, DrawnNode] = {}
    columns, left = [], 0.0
    for span, name in enumerate(spans.names):
        rows: dict[tuple[int, bool], list[int]] = defaultdict(list)
        for at, node in sorted(present):
            if at == span:
                rows[row_of(graph, node)].append(node)
        if not rows:
            continue
        wide = max(map(len, rows.values()))
        middle = left + (wide - 1) / 2
        for row, members in rows.items():
            for number, node in enumerate(members):
                x = middle + number - (len(members) - 1) / 2
                kind = kind_of_node(graph, node)
                nodes[span, node] = DrawnNode(names[node], kind, x, heights[row], name)
        columns.append((middle, name))
        left += wide + GAP
    return nodes, tuple(columns)
