"""Circuits between a graph with grouped key/value heads and EAP-IG's, which has none.

EAP-IG gives every query head its own key and value input. A circuit over grouped heads is written
by keeping, for every edge into a group's key or value, that edge of each of the group's heads: all
heads of a group then see the same key and value, so that the function computed is the same. The way
back exists where a group's heads agree. Edge scores have no such translation (a group's score is
the sum over its heads, and top-n counts the edge once), so it is refused.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats.checks import other_model, ungrouped


def expressible(space: ScoreSpace) -> bool:
    """Whether a JSON file has room for scores of these units: EAP-IG's, or ours of hidden units."""
    if space.spans is not None:
        return False
    return space.level != "edge" or space.graph == ungrouped(space.graph)


def expand(item: Scores | Circuit) -> Scores | Circuit:
    """The same scores or circuit over the ungrouped graph.

    Raises:
        CircuitFileError: Edge scores over grouped heads, or units over spans of prompts.
    """
    space = item.space
    if space.spans is not None:
        raise CircuitFileError(
            f"The formats of EAP-IG and MIB have no room for spans ({len(space.spans)} of them here). "
            "Write a .safetensors file, or scores without spans: scores.everywhere()."
        )
    target = ScoreSpace(ungrouped(space.graph), space.level)
    if target == space:
        return item
    if isinstance(item, Scores):
        if not expressible(space):
            raise CircuitFileError(
                f"Edge scores over {space.graph.n_kv_heads} key/value heads shared by "
                f"{space.graph.n_heads} query heads cannot be written for EAP-IG or MIB, which "
                "score a key and a value input per query head. Score with kv_heads=ungrouped, or "
                "write the circuits instead: those expand exactly."
            )
        return replace(item, space=target)
    if space.level != "edge":
        return Circuit(target, item.kept)
    return Circuit(target, item.kept[:, _columns(space.graph)])


def fit(path: Path, item: Scores | Circuit, graph: Graph | None) -> Scores | Circuit:
    """What a file holds, over the graph of the model at hand.

    Raises:
        CircuitFileError: It is another model's, or cannot be told over grouped heads.
    """
    found = item.space.graph
    if graph is None or found == graph:
        return item
    if ungrouped(found) != ungrouped(graph):
        raise other_model(path, found, graph)
    if item.space.spans is not None:
        raise CircuitFileError(
            f"{path} is over spans and {found.n_kv_heads} key/value heads per layer, this model's graph "
            f"has {graph.n_kv_heads}; choose kv_heads to match the file."
        )
    target = ScoreSpace(graph, item.space.level)
    if isinstance(item, Scores):
        if target.level == "edge":
            raise CircuitFileError(
                f"{path} has edge scores for {found.n_kv_heads} key/value heads per layer, this "
                f"model's graph has {graph.n_kv_heads}; choose kv_heads to match the file."
            )
        return replace(item, space=target)
    if target.level != "edge":
        return Circuit(target, item.kept)
    expanded = expand(item)
    assert isinstance(expanded, Circuit)
    return _collapse(path, expanded, graph)


def _collapse(path: Path, circuit: Circuit, graph: Graph) -> Circuit:
    columns = _columns(graph)
    kept = np.zeros((graph.n_src, graph.n_dst), dtype=bool)
    kept[:, columns] = circuit.kept
    differs = kept[:, columns] != circuit.kept
    if differs.any():
        src, dst = np.argwhere(differs)[0]
        raise CircuitFileError(
            f"{path} does not treat the query heads of a group alike ("
            f"{circuit.space.graph.edge_name(src, dst)}), so that it is no circuit over "
            f"{graph.n_kv_heads} key/value heads. Evaluate it with kv_heads=ungrouped."
        )
    return Circuit(ScoreSpace(graph, "edge"), kept)


def _columns(graph: Graph) -> Int[np.ndarray, " ungrouped_dst"]:
    """For every destination of the ungrouped graph, the destination it belongs to."""
    kv = np.repeat(np.arange(graph.n_kv_heads), graph.n_heads // graph.n_kv_heads)
    heads, offset = np.arange(graph.n_heads), graph.n_heads
    mlp = np.array([offset + 2 * graph.n_kv_heads])
    block = [heads, offset + kv, offset + graph.n_kv_heads + kv, mlp]
    layers = np.arange(graph.n_layers)[:, None] * graph.destinations_per_layer
    return np.append((layers + np.concatenate(block)).ravel(), graph.n_dst - 1)
