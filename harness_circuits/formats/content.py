"""What an EAP-IG or MIB circuit file holds, whatever its encoding, and what it means.

Such a file has a score and a membership flag for every edge, and optionally for every source node
and every neuron. What it holds (`parts_of`) follows from what is filled in:

- `scores`, where one level has scores that are not all zero: importances at that level;
- `in_graph`, where something is flagged, or nothing is scored: a binary circuit, of the neurons if
  they have flags, else of the edges, or of the nodes if no edge is kept.

Files we write say their levels themselves, in an entry `harness_circuits` that EAP-IG and MIB
ignore. It also states the scale: our scores are means over examples; EAP-IG divides by the number of
examples once more. The ranking, and with it every circuit and curve, is the same.

NaN for all nodes or neurons is EAP-IG's "never scored" and counts as absent. Any other is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from harness_circuits.circuits.circuit import Circuit, heads_of_destinations
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import GRAPH_LEVELS, HIDDEN_UNITS, Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError, shown
from harness_circuits.formats.checks import check_finite
from harness_circuits.formats.groups import expand
from harness_circuits.formats.parts import IN_GRAPH, SCORES, Parts, Read

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
        CircuitFileError: Edge scores over grouped key/value heads, or units that EAP-IG has not.
    """
    if item.space.level == HIDDEN_UNITS:
        raise CircuitFileError(
            f"Scores and circuits at level={HIDDEN_UNITS} cannot be written for EAP-IG or MIB, whose "
            "files know edges, nodes and coordinates of outputs, and no hidden units of MLPs. Write "
            "a .safetensors or .json file, in our own layout."
        )
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
    marks = Circuit.empty(space) if whole.circuit is None else expand(whole.circuit)
    assert isinstance(marks, Circuit)
    neurons = np.zeros((graph.n_src, graph.d_model), dtype=bool) if level == "neuron" else None
    if whole.circuit is not None:
        note["circuit_level"] = marks.space.level
    return Content(
        graph=graph,
        edge_scores=whole.values if level == "edge" else zero,
        edges=_edges(marks),
        node_scores=whole.values if level == "node" else None,
        nodes=_nodes(marks) if marks.n_kept else np.zeros(graph.n_src, dtype=bool),
        neuron_scores=whole.values if level == "neuron" else None,
        neurons=marks.kept if marks.space.level == "neuron" else neurons,
        note={**note, "content": "scores", "scale": SCALE, "provenance": provenance},
    )


def parts_of(path: Path, content: Content) -> Parts:
    """What a file holds, by the rules above.

    Raises:
        CircuitFileError: Our entry is damaged, or nothing is scored and nothing is kept.
    """
    found: dict[str, Callable[[], Scores | Circuit]] = {}
    noted = _noted(path, content)
    marked = content.note.get("circuit_level", noted.get("circuit", _marked_level(content)))
    scored = [noted["scores"]] if noted.get("scores") else [] if noted else _scored(content)
    if scored:
        found[SCORES] = partial(_scores, path, content, scored)
    elif marked is None and content.edge_scores is not None:
        raise CircuitFileError(f"{path}: all scores are zero and nothing is kept.")
    if marked is not None or not scored:
        found[IN_GRAPH] = partial(_circuit, path, content, marked or "edge")
    return Read(found, foreign=not content.note)


def _scored(content: Content) -> list[str]:
    """Levels with scores that are not all zero."""
    values = {level: content.scores_at(level) for level in GRAPH_LEVELS}
    return [level for level, found in values.items() if found is not None and np.any(found != 0)]


def _marked_level(content: Content) -> str | None:
    """Level of the circuit that the flags say, None if none is set."""
    if content.neurons is not None and (content.neurons.any() or not _scored(content)):
        return "neuron"
    if content.edges.any():
        return "edge"
    return "node" if content.nodes.any() else None


def _noted(path: Path, content: Content) -> dict[str, str]:
    """What our own entry says that the file is, and of which level; empty in files of others."""
    note = content.note
    if not note:
        return {}
    level, kind, marks = note.get("level"), note.get("content"), note.get("circuit_level", "edge")
    known = level in GRAPH_LEVELS and marks in GRAPH_LEVELS and kind in ("scores", "circuit")
    if not known or note.get("version") != 1:
        raise CircuitFileError(
            f"{path}: the entry {shown(NOTE)} is damaged or of another version "
            f"(version {shown(note.get('version'), 80)}, content {shown(kind, 80)}, level "
            f"{shown(level, 80)})."
        )
    return {str(kind): str(level)}


def _scores(path: Path, content: Content, levels: Sequence[Any]) -> Scores:
    if len(levels) > 1:
        raise CircuitFileError(f"{path} has scores at several levels ({', '.join(levels)}).")
    (level,) = levels
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
