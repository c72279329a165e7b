"""What an EAP-IG or MIB circuit file holds, whatever its encoding, and what it means.

Such a file has a score and a membership flag for every edge, and optionally for every source node
and every neuron. Which of these is meant follows from what is filled in:

- one level has scores that are not all zero: importances at that level, and the flags (which EAP-IG
  writes whatever they are) say nothing;
- no score differs from zero: a binary circuit, of the neurons if they have flags, else of the
  edges, or of the nodes if no edge is kept.

Files we write say so themselves, in an entry `harness_circuits` that EAP-IG and MIB ignore. It also
states the scale: our scores are means over examples; EAP-IG divides by the number of examples once
more. The ranking, and with it every circuit and curve, is the same.

NaN for all nodes or neurons is EAP-IG's "never scored" and counts as absent. Any other is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from harness_circuits.circuits.circuit import Circuit, heads_of_destinations
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import LEVELS, Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats.checks import check_finite
from harness_circuits.formats.groups import expand

NOTE = "harness_circuits"
SCALE = (
    "loss of metric per example, a mean over examples; EAP-IG's own files hold this divided by the "
    "number of examples once more (same ranking)"
)


@dataclass(frozen=True, kw_only=True)
class Content:
    """The arrays of one file, over a graph with a key and a value input per query head.

    Attributes:
        graph: The graph that `cfg` describes.
        edge_scores: Scores of edges; None where the file has none.
        edges: Kept edges.
        node_scores: Scores of source nodes, or None.
        nodes: Kept source nodes.
        neuron_scores: Scores of neurons, or None.
        neurons: Kept neurons, or None.
        note: Our entry, empty in files of others.
    """

    graph: Graph
    edge_scores: Float[np.ndarray, "src dst"] | None
    edges: Bool[np.ndarray, "src dst"]
    node_scores: Float[np.ndarray, " src"] | None = None
    nodes: Bool[np.ndarray, " src"]
    neuron_scores: Float[np.ndarray, "src model"] | None = None
    neurons: Bool[np.ndarray, "src model"] | None = None
    note: Mapping[str, Any] = field(default_factory=dict)

    def scores_at(self, level: str) -> np.ndarray | None:
        """Scores of one level, None if the file has none there."""
        values = {"edge": self.edge_scores, "node": self.node_scores, "neuron": self.neuron_scores}
        found = values[level]
        if found is None or (level != "edge" and np.isnan(found).all()):
            return None
        return np.where(self.graph.edge_mask, found, 0) if level == "edge" else found


def lay_out(item: Scores | Circuit) -> Content:
    """What to write for scores or for a circuit.

    A circuit gets zero edge scores, because EAP-IG's own reader insists on scores.

    Raises:
        CircuitFileError: Edge scores over grouped key/value heads.
    """
    whole = expand(item)
    space = whole.space
    graph, level = space.graph, space.level
    note: dict[str, Any] = {"version": 1, "level": level}
    if item.space != space:
        note["expanded_from_kv_heads"] = item.space.graph.n_kv_heads
    zero = np.zeros((graph.n_src, graph.n_dst), dtype=np.float32)
    if isinstance(whole, Circuit):
        return Content(
            graph=graph,
            edge_scores=zero,
            edges=_edges(whole),
            nodes=_nodes(whole),
            neurons=whole.kept if level == "neuron" else None,
            note={**note, "content": "circuit"},
        )
    provenance = json.loads(json.dumps(dict(whole.provenance), default=str))
    none = np.zeros(graph.n_src, dtype=bool)
    neuron = level == "neuron"
    return Content(
        graph=graph,
        edge_scores=whole.values if level == "edge" else zero,
        edges=np.zeros(zero.shape, dtype=bool),
        node_scores=whole.values if level == "node" else None,
        nodes=none,
        neuron_scores=whole.values if neuron else None,
        neurons=np.zeros(whole.values.shape, dtype=bool) if neuron else None,
        note={**note, "content": "scores", "scale": SCALE, "provenance": provenance},
    )


def interpret(path: Path, content: Content) -> Scores | Circuit:
    """Scores or circuit that a file means, by the rules above.

    Raises:
        CircuitFileError: Several levels are scored, nothing is, a score is not finite, or the file
            restricts both edges and neurons.
    """
    if content.note:
        return _as_noted(path, content)
    scored = []
    for level in LEVELS:
        values = content.scores_at(level)
        if values is not None and np.any(values != 0):
            scored.append(level)
    if len(scored) > 1:
        raise CircuitFileError(f"{path} has scores at several levels ({', '.join(scored)}).")
    if scored:
        return _scores(path, content, scored[0])
    kept = content.edges.any() or content.nodes.any()
    if content.edge_scores is not None and not (kept or content.neurons is not None):
        raise CircuitFileError(f"{path}: all scores are zero and nothing is kept.")
    if content.neurons is not None:
        return _circuit(path, content, "neuron")
    only_nodes = content.nodes.any() and not content.edges.any()
    return _circuit(path, content, "node" if only_nodes else "edge")


def _as_noted(path: Path, content: Content) -> Scores | Circuit:
    note = content.note
    level, kind = note.get("level"), note.get("content")
    if level not in LEVELS or kind not in ("scores", "circuit") or note.get("version") != 1:
        raise CircuitFileError(
            f"{path}: the entry {NOTE!r} is damaged or of another version "
            f"(version {note.get('version')!r:.80}, content {kind!r:.80}, level {level!r:.80})."
        )
    return (_scores if kind == "scores" else _circuit)(path, content, level)


def _scores(path: Path, content: Content, level: Any) -> Scores:
    values = content.scores_at(level)
    if values is None:
        raise CircuitFileError(f"{path} has no {level} scores.")
    space = ScoreSpace(content.graph, level)
    check_finite(path, space, values)
    provenance = content.note.get("provenance", {})
    if not isinstance(provenance, Mapping):
        raise CircuitFileError(f"{path}: the provenance is not a mapping.")
    return Scores(space, values, dict(provenance) or {"file": path.name})


def _circuit(path: Path, content: Content, level: Any) -> Circuit:
    graph = content.graph
    edges = content.edges & graph.edge_mask  # EAP-IG also switches on edges that do not exist
    if level == "edge":
        return Circuit(ScoreSpace(graph, "edge"), edges)
    if level == "node":
        circuit = Circuit(ScoreSpace(graph, "node"), content.nodes)
    elif content.neurons is not None:
        kept = content.neurons & content.nodes[:, None] if content.nodes.any() else content.neurons
        circuit = Circuit(ScoreSpace(graph, "neuron"), kept)
    else:
        raise CircuitFileError(f"{path} has no neurons.")
    missing = _edges(circuit) & ~edges
    if edges.any() and missing.any():
        src, dst = np.argwhere(missing)[0]
        raise CircuitFileError(
            f"{path} restricts edges as well as {level}s ({graph.edge_name(src, dst)} is left out, "
            "though both its ends are kept). Circuits here are of one level."
        )
    return circuit


def _edges(circuit: Circuit) -> Bool[np.ndarray, "src dst"]:
    """Edges of a circuit; of a node or neuron circuit, those between kept nodes."""
    if circuit.space.level == "edge":
        return circuit.kept
    into = heads_of_destinations(circuit.space.graph, np.append(circuit.nodes, True))
    edges: np.ndarray = circuit.edges & into
    return edges


def _nodes(circuit: Circuit) -> Bool[np.ndarray, " src"]:
    """Nodes of a circuit; of an edge circuit, those that edges both enter and leave."""
    if circuit.space.level != "edge":
        return circuit.nodes
    fed = np.zeros(circuit.space.graph.n_src + 1, dtype=bool)
    fed[circuit.space.graph.destination_owner[circuit.kept.any(axis=0)]] = True
    fed[0] = True
    return circuit.nodes & fed[:-1]
