"""EAP-IG's and MIB's JSON circuit files.

    {"cfg":   {"n_layers": 2, "n_heads": 4, "parallel_attn_mlp": false, "d_model": 32},
     "nodes": {"input": {"in_graph": true, "score": 0.1, "neurons": [..], "neurons_scores": [..]}},
     "edges": {"input->a0.h0<q>": {"score": 0.1, "in_graph": true}}}

Order and keys are those of EAP-IG's `Graph.to_json` (hannamw/EAP-IG). A node's `score`, `neurons`
and `neurons_scores` are optional. Under a head, EAP-IG writes and expects the neurons of all heads
of the layer, one list per head; we do the same, and also read one flat list. The neurons may stand
at the top level instead, under `neurons`, and a node may be a bare boolean, as EAP-IG documents it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import INPUT, LOGITS, QKV, Graph
from harness_circuits.circuits.scores import HIDDEN_UNITS, Scores
from harness_circuits.errors import CircuitFileError, UnknownNameError, shown
from harness_circuits.formats import hidden_json
from harness_circuits.formats.checks import MAX_BYTES, NOTE_BYTES, check_file, graph_of_cfg
from harness_circuits.formats.content import NOTE, Content, lay_out, parts_of
from harness_circuits.formats.parts import Parts
from harness_circuits.machine.files import write_atomically

_ENTRY_BYTES, _NUMBER_BYTES = 256, 64


def write(path: Path, item: Scores | Circuit) -> Path:
    """Write a circuit file, atomically.

    Raises:
        CircuitFileError: Edge scores over grouped key/value heads.
    """
    if item.space.level == HIDDEN_UNITS:
        return hidden_json.write(path, item, cfg_of(item.space.graph))
    content = lay_out(item)
    parts = {
        "cfg": json.dumps(cfg_of(content.graph)),
        "nodes": json.dumps(dict(_node_entries(content)), allow_nan=False),
        "edges": "{" + ", ".join(_edge_entries(content)) + "}",
        NOTE: json.dumps(dict(content.note)),
    }
    text = ",\n".join(f'"{key}": {value}' for key, value in parts.items())
    return write_atomically(path, f"{{{text}}}\n".encode())


def read(path: Path, graph: Graph | None) -> Parts:
    """Read a circuit file.

    Args:
        path: The file.
        graph: The graph it must be for; None takes the file's word for it.

    Raises:
        CircuitFileError: The file is too large, malformed, or another model's.
    """
    check_file(path, _limit(graph))
    try:
        data = json.loads(path.read_bytes(), object_pairs_hook=partial(_without_duplicates, path))
    except (ValueError, RecursionError) as error:
        raise CircuitFileError(f"{path} is not a JSON file: {error}.") from error
    if isinstance(data, dict) and hidden_json.KEY in data:
        return hidden_json.parts_of(path, data, graph)
    for key in ("cfg", "nodes", "edges"):
        if not isinstance(data, dict) or not isinstance(data.get(key), dict):
            raise CircuitFileError(f"{path} is not a circuit file: it has no mapping {shown(key)}.")
    note = data.get(NOTE, {})
    if not isinstance(note, dict):
        raise CircuitFileError(f"{path}: the entry {shown(NOTE)} is not a mapping.")
    found = graph_of_cfg(path, data["cfg"], graph)
    if len(data["nodes"]) > found.n_src + 1 or len(data["edges"]) > found.n_edges:
        raise CircuitFileError(
            f"{path} names {len(data['nodes'])} nodes and {len(data['edges'])} edges; its own cfg "
            f"allows {found.n_src + 1} and {found.n_edges}."
        )
    edge_scores, edges = _read_edges(path, data["edges"], found)
    nodes = {name: _node(path, name, value) for name, value in data["nodes"].items()}
    for name, values in _mapping(path, data.get("neurons", {}), "neurons").items():
        nodes.setdefault(name, {"in_graph": True})["neurons"] = values
    arrays = _read_nodes(path, nodes, found)
    whole = Content(graph=found, edge_scores=edge_scores, edges=edges, note=note, **arrays)
    return parts_of(path, whole)


def cfg_of(graph: Graph) -> dict[str, Any]:
    """EAP-IG's `cfg` of a graph."""
    return {
        "n_layers": graph.n_layers,
        "n_heads": graph.n_heads,
        "parallel_attn_mlp": graph.parallel,
        "d_model": graph.d_model,
    }


def edge_order(graph: Graph) -> Iterator[tuple[int, int]]:
    """Source and destination of every edge, in EAP-IG's order."""
    for layer in range(graph.n_layers):
        attention = [
            graph.head_destination(layer, kind, head)
            for head in range(graph.n_heads)
            for kind in QKV
        ]
        mlp = graph.mlp_destination(layer)
        before = range(graph.head_source(layer))
        for src in before:
            yield from ((src, dst) for dst in attention)
            if graph.parallel:
                yield src, mlp
        if not graph.parallel:
            yield from ((src, mlp) for src in range(graph.mlp_source(layer)))
    yield from ((src, graph.n_dst - 1) for src in range(graph.n_src))


def _edge_entries(content: Content) -> Iterator[str]:
    """The edges' JSON, one by one: a large model has millions, too many for objects."""
    sources, destinations = content.graph.source_names, content.graph.destination_names
    assert content.edge_scores is not None
    scores, kept = content.edge_scores.tolist(), content.edges.tolist()
    word = {True: "true", False: "false"}
    for src, dst in edge_order(content.graph):
        entry = f'{{"score": {scores[src][dst]!r}, "in_graph": {word[kept[src][dst]]}}}'
        yield f'"{sources[src]}->{destinations[dst]}": {entry}'


def _node_entries(content: Content) -> Iterator[tuple[str, dict[str, Any]]]:
    graph = content.graph
    for index, name in enumerate(graph.source_names):
        entry: dict[str, Any] = {"in_graph": bool(content.nodes[index])}
        if content.node_scores is not None:
            entry["score"] = float(content.node_scores[index])
        layer, place = divmod(index - 1, graph.sources_per_layer)
        head = name != INPUT and place < graph.n_heads
        rows = graph.head_slice(layer) if head else index
        if content.neurons is not None:
            entry["neurons"] = content.neurons[rows].tolist()
        if content.neuron_scores is not None:
            entry["neurons_scores"] = content.neuron_scores[rows].tolist()
        yield name, entry
    yield LOGITS, {"in_graph": True}


def _limit(graph: Graph | None) -> int:
    if graph is None:
        return MAX_BYTES
    edges = graph.n_src * (3 * graph.n_heads + 1) * graph.n_layers + graph.n_src
    neurons = graph.n_src * graph.d_model * graph.n_heads + graph.n_layers * (graph.d_mlp or 0)
    names = edges + graph.n_src + 1
    return min(MAX_BYTES, _ENTRY_BYTES * names + _NUMBER_BYTES * neurons + NOTE_BYTES)


def _without_duplicates(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise CircuitFileError(f"{path} has two entries {shown(twice, 80)} in one mapping.")
    return result


def _mapping(path: Path, value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CircuitFileError(
            f"{path}: {shown(what, 80)} must be a mapping, got {shown(value, 80)}."
        )
    return value


def _node(path: Path, name: str, value: Any) -> dict[str, Any]:
    return {"in_graph": value} if type(value) is bool else dict(_mapping(path, value, name))


def _flag(path: Path, name: str, entry: Mapping[str, Any]) -> bool:
    flag = entry.get("in_graph")
    if type(flag) is not bool:
        raise CircuitFileError(
            f"{path}: {shown(name, 80)} must have 'in_graph' true or false, got {shown(flag, 80)}."
        )
    return flag


def _number(path: Path, name: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise CircuitFileError(
            f"{path}: the score of {shown(name, 80)} is no number: {shown(value, 80)}."
        )
    try:
        return float(value)
    except OverflowError as error:
        raise CircuitFileError(f"{path}: the score of {shown(name, 80)} is too large.") from error


def _read_edges(
    path: Path, entries: dict[str, Any], graph: Graph
) -> tuple[np.ndarray | None, np.ndarray]:
    sources = {name: index for index, name in enumerate(graph.source_names)}
    destinations = {name: index for index, name in enumerate(graph.destination_names)}
    kept = np.zeros((graph.n_src, graph.n_dst), dtype=bool)
    scores, n_scored = np.zeros(kept.shape), 0
    for name, value in entries.items():
        entry = _mapping(path, value, name)
        source, _, destination = name.partition("->")
        src, dst = sources.get(source), destinations.get(destination)
        if src is None or dst is None or src >= graph.n_visible[dst]:
            src, dst = _edge_index(path, graph, name)
        kept[src, dst] = _flag(path, name, entry)
        if "score" in entry:
            scores[src, dst] = _number(path, name, entry["score"])
            n_scored += 1
    if n_scored and n_scored != len(entries):
        raise CircuitFileError(f"{path}: only {n_scored} of {len(entries)} edges have a score.")
    if n_scored and n_scored != graph.n_edges and scores.any():
        raise CircuitFileError(
            f"{path} scores {n_scored} of {graph.n_edges} edges. Importances need them all; give "
            "an edge that does not matter the score 0."
        )
    return (_narrow(scores) if n_scored else None), kept


def _edge_index(path: Path, graph: Graph, name: str) -> tuple[int, int]:
    try:
        return graph.edge_index(name)
    except UnknownNameError as error:
        raise CircuitFileError(f"{path}: {error}") from error


def _read_nodes(path: Path, entries: dict[str, dict[str, Any]], graph: Graph) -> dict[str, Any]:
    at = {}
    for name in entries:
        if name == LOGITS:
            continue
        try:
            at[name] = graph.source_index(name)
        except UnknownNameError as error:
            raise CircuitFileError(f"{path}: {error}") from error
    arrays: dict[str, Any] = {"nodes": np.zeros(graph.n_src, dtype=bool)}
    for name, index in at.items():
        arrays["nodes"][index] = _flag(path, name, entries[name])
    for key, target in (
        ("score", "node_scores"),
        ("neurons", "neurons"),
        ("neurons_scores", "neuron_scores"),
    ):
        having = [name for name in at if key in entries[name]]
        if not having:
            continue
        if len(having) != graph.n_src:
            raise CircuitFileError(
                f"{path}: only {len(having)} of {graph.n_src} nodes have {shown(key)}."
            )
        rows: list[Any] = [None] * graph.n_src
        for name in having:
            value = entries[name][key]
            if key == "score":
                rows[at[name]] = _number(path, name, value)
            else:
                rows[at[name]] = _neurons(path, name, value, graph, key)
        arrays[target] = np.array(rows) if key == "neurons" else _narrow(np.array(rows))
    return arrays


def _neurons(path: Path, name: str, value: Any, graph: Graph, key: str) -> Sequence[Any]:
    """One node's neurons, out of one list of them or one list per head of the layer."""
    nested = isinstance(value, list) and len(value) > 0 and isinstance(value[0], list)
    if nested and name.startswith("a") and len(value) == graph.n_heads:
        value = value[int(name.partition(".h")[2])]
    if not isinstance(value, list) or len(value) != graph.d_model:
        length = len(value) if isinstance(value, list) else repr(value)[:80]
        raise CircuitFileError(
            f"{path}: {shown(key)} of {shown(name)} must be {graph.d_model} values, got {length}."
        )
    if key == "neurons":
        if any(type(flag) is not bool for flag in value):
            raise CircuitFileError(f"{path}: {shown(key)} of {shown(name)} must be true or false.")
        return value
    return [_number(path, f"{name}[{i}]", number) for i, number in enumerate(value)]


def _narrow(values: np.ndarray) -> np.ndarray:
    """The values as float32, if those are the same numbers."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return single if np.array_equal(single, values, equal_nan=True) else values
