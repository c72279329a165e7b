"""Where the nodes and edges of a circuit go on a drawing: layers upward, no renderer involved.

A circuit of few edges is drawn edge by edge. In a larger one, edges between the same two nodes
(through query, key and value) become one, which takes the kind of its strongest member. Nodes of one
row are put near the mean position of their neighbours (the barycentre method of Sugiyama et al. 1981),
MLPs into a column of their own. Rows without a node are left out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import QKV, Graph
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import OptionError

MERGE_ABOVE = 100  # edges
MOST_EDGES = 2000
SWEEPS = 8
NODE_TOP = 0.17  # half the height of a node's box
KINDS = (*QKV, "qkv", "mlp", "logits")


@dataclass(frozen=True)
class DrawnNode:
    """A node and its place.

    Attributes:
        name: Name, as in circuit files.
        kind: `input`, `head`, `mlp` or `logits`.
        x: Column; nodes of a row are at least 1 apart.
        y: Row, upward from 0.
        span: Name of its span of the prompts; empty in a circuit without spans.
    """

    name: str
    kind: str
    x: float
    y: float
    span: str = ""

    @property
    def full_name(self) -> str:
        """Its name, with its span where it has one: no other node's."""
        return f"{self.name}@{self.span}" if self.span else self.name


@dataclass(frozen=True)
class DrawnEdge:
    """One line of the drawing.

    Attributes:
        source: Its lower node.
        target: Its upper node.
        kind: What it feeds: `q`, `k`, `v`, `mlp`, `logits`, or `qkv` where several of the first three
            are merged and no scores tell which is strongest.
        names: The edges it stands for, the strongest first.
        score: Sum of their scores; None without scores.
        strength: |score| over the largest of the drawing; 1 without scores.
    """

    source: DrawnNode
    target: DrawnNode
    kind: str
    names: tuple[str, ...]
    score: float | None
    strength: float

    @property
    def is_negative(self) -> bool:
        """Whether the edge lowers the metric."""
        return self.score is not None and self.score < 0

    @property
    def is_crossing(self) -> bool:
        """Whether it is a crossing edge: within one head, from span to span."""
        return self.source.name == self.target.name

    @property
    def label(self) -> str:
        """Names and score for a tooltip."""
        names = ", ".join(self.names)
        return names if self.score is None else f"{names}: {self.score:+.3g}"

    def path(self) -> Float[np.ndarray, "4 2"]:
        """Control points of a cubic Bezier curve that leaves and arrives upward.

        Edges within a column bow aside, the more the longer they are, so that none hides another.
        Crossing edges are arcs from the top of one box to the other's, a height for each kind.
        """
        a, b = self.source, self.target
        if self.is_crossing:
            top, lift = a.y + NODE_TOP, 0.3 + 0.15 * QKV.index(self.kind)
            return np.array([(a.x, top), (a.x, top + lift), (b.x, top + lift), (b.x, top)])
        rise = b.y - a.y
        bow = 0.35 * (rise - 1) ** 0.8 if abs(a.x - b.x) < 0.6 and rise > 1 else 0.0
        bend = min(0.5 * rise, 2.0)
        return np.array([(a.x, a.y), (a.x + bow, a.y + bend), (b.x + bow, b.y - bend), (b.x, b.y)])


@dataclass(frozen=True)
class Drawing:
    """A circuit laid out.

    Attributes:
        nodes: From the bottom up.
        edges: The weakest first, so that the strongest are drawn on top.
        n_edges: Edges of the circuit.
        merged: Whether edges between the same two nodes became one.
        scored: Whether widths and signs are known.
        note: What was asked for and is not drawn, and why.
        columns: Of a circuit over spans, where the column of each span is, with its name.
        units: What `n_edges` counts: `edges`, or `hidden units`.
    """

    nodes: tuple[DrawnNode, ...]
    edges: tuple[DrawnEdge, ...]
    n_edges: int
    merged: bool
    scored: bool
    note: str = ""
    columns: tuple[tuple[float, str], ...] = ()
    units: str = "edges"


@dataclass
class _Line:
    """Edges that become one line, while they are collected."""

    members: list[tuple[float, str, str]] = field(default_factory=list)  # score, kind, name

    @property
    def kinds(self) -> set[str]:
        return {kind for _, kind, _ in self.members}


def lay_out(circuit: Circuit, scores: Scores | None = None, merge: bool | None = None) -> Drawing:
    """Lay a circuit out.

    Args:
        circuit: A circuit of any level; a node or neuron circuit shows the edges between its nodes.
        scores: Edge scores for widths and signs.
        merge: Whether edges between the same two nodes become one; by default in large circuits.

    Raises:
        OptionError: The circuit is empty, too large to draw, or the scores belong elsewhere.
    """
    graph = circuit.space.graph
    edges = edges_to_draw(circuit)
    n_edges = int(edges.sum())
    if not 0 < n_edges <= MOST_EDGES:
        raise OptionError(
            f"A drawing shows 1 to {MOST_EDGES} edges, this circuit has {n_edges}. Draw a smaller "
            "size of it, or scores with --keep N."
        )
    if scores is not None and (scores.space.graph != graph or scores.space.level != "edge"):
        raise OptionError("The scores for a drawing are edge scores over the circuit's own graph.")
    merge = n_edges > MERGE_ABOVE if merge is None else merge
    lines = _collect(graph, edges, scores, merge)
    nodes = place(graph, {(a, b) for a, b, _ in lines})
    strongest = max(abs(_total(line)) for line in lines.values()) or 1.0
    drawn = [
        DrawnEdge(
            nodes[a],
            nodes[b],
            _strongest_kind(line) if scores is not None or len(line.kinds) == 1 else "qkv",
            tuple(name for _, _, name in sorted(line.members, key=lambda m: -abs(m[0]))),
            None if scores is None else _total(line),
            1.0 if scores is None else abs(_total(line)) / strongest,
        )
        for (a, b, _), line in lines.items()
    ]
    drawn.sort(key=lambda edge: edge.strength)
    return Drawing(
        tuple(nodes[at] for at in sorted(nodes)), tuple(drawn), n_edges, merge, scores is not None
    )


def edges_to_draw(circuit: Circuit) -> Bool[np.ndarray, "src dst"]:
    """Edges of a circuit; of a node or neuron circuit those between its nodes."""
    return circuit.edges if circuit.space.level == "edge" else circuit.edges & circuit.into_kept


def _strongest_kind(line: _Line) -> str:
    return max(line.members, key=lambda member: abs(member[0]))[1]


def _total(line: _Line) -> float:
    return sum(score for score, _, _ in line.members)


def _collect(
    graph: Graph, edges: np.ndarray, scores: Scores | None, merge: bool
) -> dict[tuple[int, int, str], _Line]:
    """Lines by lower node, upper node and kind (empty where kinds are merged)."""
    lines: dict[tuple[int, int, str], _Line] = defaultdict(_Line)
    senders = np.asarray(edges.any(axis=1))
    for src, dst in np.argwhere(edges).tolist():
        score = 0.0 if scores is None else float(scores.values[src, dst])
        kind = edge_kind(graph.destination_names[dst])
        for owner in _owners(graph, dst, kind, senders):
            key = (src, owner, "" if merge else kind)
            lines[key].members.append((score, kind, graph.edge_name(src, dst)))
    return lines


def edge_kind(destination: str) -> str:
    """What an edge into a destination feeds: `q`, `k`, `v`, `mlp` or `logits`."""
    if destination.endswith(">"):
        return destination[-2]
    return "logits" if destination == "logits" else "mlp"


def _owners(graph: Graph, dst: int, kind: str, senders: np.ndarray) -> list[int]:
    """Nodes that read a destination: one, or those of a key/value group that pass anything on."""
    first = int(graph.destination_owner[dst])
    if kind not in ("k", "v"):
        return [first]
    group = range(first, first + graph.n_heads // graph.n_kv_heads)
    return [head for head in group if senders[head]] or [first]


def place(graph: Graph, pairs: set[tuple[int, int]]) -> dict[int, DrawnNode]:
    """Nodes of the lines between pairs of indices (`n_src` is the logits), placed."""
    present = sorted({at for pair in pairs for at in pair} | {0, graph.n_src})
    names = (*graph.source_names, "logits")
    rows: dict[tuple[int, bool], list[int]] = defaultdict(list)
    for at in present:
        rows[row_of(graph, at)].append(at)
    heights = heights_of(sorted(rows))
    x = _columns(graph, rows, pairs)
    return {
        at: DrawnNode(names[at], kind_of_node(graph, at), x[at], heights[row])
        for row, members in rows.items()
        for at in members
    }


def row_of(graph: Graph, at: int) -> tuple[int, bool]:
    """Layer of a node, and whether it is the layer's MLP."""
    if at in (0, graph.n_src):
        return (-1 if at == 0 else graph.n_layers), False
    layer, within = divmod(at - 1, graph.sources_per_layer)
    return layer, within == graph.n_heads


def kind_of_node(graph: Graph, at: int) -> str:
    """What a node is: `input`, `head`, `mlp` or `logits`."""
    if at in (0, graph.n_src):
        return "input" if at == 0 else "logits"
    return "mlp" if row_of(graph, at)[1] else "head"


def heights_of(rows: list[tuple[int, bool]]) -> dict[tuple[int, bool], float]:
    """Heights of the rows present; a layer's MLP is closer to its heads than the next layer is."""
    heights, y = {rows[0]: 0.0}, 0.0
    for below, row in pairwise(rows):
        y += 0.7 if row[0] == below[0] else 1.0
        heights[row] = y
    return heights


def _columns(
    graph: Graph, rows: dict[tuple[int, bool], list[int]], pairs: set[tuple[int, int]]
) -> dict[int, float]:
    """Horizontal places: heads near their neighbours, MLPs in a column on the right."""
    neighbours: dict[int, list[int]] = defaultdict(list)
    for a, b in pairs:
        neighbours[a].append(b)
        neighbours[b].append(a)
    heads = {row: members for row, members in rows.items() if not row[1]}
    widest = max(len(members) for members in heads.values())
    x = {at: float(i - (len(m) - 1) / 2) for m in heads.values() for i, at in enumerate(m)}
    right = (widest + 1) / 2 + 0.3
    x |= {at: right for row, members in rows.items() if row[1] for at in members}
    for sweep in range(SWEEPS):
        for row in sorted(heads, reverse=sweep % 2 == 1):
            members = heads[row]
            wish = {at: float(np.mean([x[n] for n in neighbours[at]] or [0])) for at in members}
            spread = widest / len(members) if len(members) > 1 else 1.0
            for i, at in enumerate(sorted(members, key=lambda at: (wish[at], at))):
                x[at] = (i - (len(members) - 1) / 2) * min(spread, 1.6)
    return x
