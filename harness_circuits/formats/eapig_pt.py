"""EAP-IG's and MIB's `.pt` circuit files.

One dictionary of plain values and tensors (`Graph.to_pt` of hannamw/EAP-IG):

    cfg               as in the JSON files
    src_nodes         names of the sources, in order          list of n_src
    dst_nodes         names of the destinations, in order     list of n_dst
    edges_scores      scores of edges                         float [n_src, n_dst]
    edges_in_graph    kept edges                              bool [n_src, n_dst]
    nodes_in_graph    kept sources                            bool [n_src]
    nodes_scores      optional                                float [n_src]
    neurons_in_graph  optional                                bool [n_src, d_model]
    neurons_scores    optional                                float [n_src, d_model]

`edges_scores` may be missing in a binary circuit (MIB). Files are read with
`torch.load(weights_only=True)`, which builds tensors and plain values and calls nothing else.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import CircuitFileError, shown
from harness_circuits.formats.checks import MAX_BYTES, NOTE_BYTES, check_file, graph_of_cfg
from harness_circuits.formats.content import NOTE, Content, lay_out, parts_of
from harness_circuits.formats.eapig_json import cfg_of
from harness_circuits.formats.parts import Parts
from harness_circuits.machine.files import write_atomically

if TYPE_CHECKING:  # torch is loaded for a file of its own only
    import torch

_REQUIRED = ("cfg", "src_nodes", "dst_nodes", "edges_in_graph", "nodes_in_graph")
_CELL_BYTES, _NAME_BYTES = 16, 128


def write(path: Path, item: Scores | Circuit) -> Path:
    """Write a circuit file, atomically.

    Raises:
        CircuitFileError: Edge scores over grouped key/value heads.
    """
    content = lay_out(item)
    import torch

    graph = content.graph
    arrays = {
        "edges_scores": content.edge_scores,
        "edges_in_graph": content.edges,
        "nodes_in_graph": content.nodes,
        "nodes_scores": content.node_scores,
        "neurons_in_graph": content.neurons,
        "neurons_scores": content.neuron_scores,
    }
    data: dict[str, Any] = {
        "cfg": cfg_of(graph),
        "src_nodes": list(graph.source_names),
        "dst_nodes": list(graph.destination_names),
        **{name: torch.tensor(array) for name, array in arrays.items() if array is not None},
        NOTE: dict(content.note),
    }
    buffer = io.BytesIO()
    torch.save(data, buffer)
    return write_atomically(path, buffer.getvalue())


def read(path: Path, graph: Graph | None) -> Parts:
    """Read a circuit file without running anything in it.

    Args:
        path: The file.
        graph: The graph it must be for; None takes the file's word for it.

    Raises:
        CircuitFileError: The file is too large, malformed, another model's, or holds objects.
    """
    limit = _limit(graph)
    check_file(path, limit)
    _check_archive(path, limit)
    data = _load(path)
    missing = [key for key in _REQUIRED if key not in data]
    if missing:
        raise CircuitFileError(f"{path} is not a circuit file: it has no {', '.join(missing)}.")
    found = graph_of_cfg(path, data["cfg"], graph)
    _check_names(path, "src_nodes", data["src_nodes"], found.source_names)
    _check_names(path, "dst_nodes", data["dst_nodes"], found.destination_names)
    note = data.get(NOTE, {})
    if not isinstance(note, dict):
        raise CircuitFileError(f"{path}: the entry {shown(NOTE)} is not a mapping.")
    edge_shape, node_shape = (found.n_src, found.n_dst), (found.n_src,)
    neuron_shape = (found.n_src, found.d_model)
    whole = Content(
        graph=found,
        edge_scores=_scores(path, data, "edges_scores", edge_shape),
        edges=_flags(path, data, "edges_in_graph", edge_shape),
        node_scores=_scores(path, data, "nodes_scores", node_shape),
        nodes=_flags(path, data, "nodes_in_graph", node_shape),
        neuron_scores=_scores(path, data, "neurons_scores", neuron_shape),
        neurons=(
            _flags(path, data, "neurons_in_graph", neuron_shape)
            if data.get("neurons_in_graph") is not None
            else None
        ),
        note=note,
    )
    return parts_of(path, whole)


def _limit(graph: Graph | None) -> int:
    if graph is None:
        return MAX_BYTES
    n_dst = (3 * graph.n_heads + 1) * graph.n_layers + 1
    cells = graph.n_src * (n_dst + 1 + graph.d_model)
    return min(MAX_BYTES, _CELL_BYTES * cells + _NAME_BYTES * (graph.n_src + n_dst) + NOTE_BYTES)


def _check_archive(path: Path, limit: int) -> None:
    """Refuse what is no zip archive (torch writes these since 1.6), or unpacks to too much."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    # `NotImplementedError` is what zipfile raises for an archive of a later zip version.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise CircuitFileError(
            f"{path} is not a .pt file of torch 1.6 or later, or it is cut off: {error}."
        ) from error
    if unpacked > limit:
        raise CircuitFileError(
            f"{path} unpacks to {unpacked:,} bytes; a circuit file of this graph needs at most "
            f"{limit:,}. It was not read."
        )


def _load(path: Path) -> dict[str, Any]:
    import torch

    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a forged pickle can make the unpickler raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise CircuitFileError(
            f"{path} is damaged, or holds something other than tensors and plain values, which "
            f"is never loaded: {reason:.200}"
        ) from error
    if not isinstance(data, dict):
        raise CircuitFileError(f"{path} is not a circuit file: it holds a {type(data).__name__}.")
    return data


def _check_names(path: Path, key: str, names: object, expected: tuple[str, ...]) -> None:
    if not isinstance(names, (list, tuple)) or len(names) != len(expected):
        length = len(names) if isinstance(names, (list, tuple)) else type(names).__name__
        raise CircuitFileError(f"{path}: {shown(key)} must be {len(expected)} names, got {length}.")
    for index, (name, right) in enumerate(zip(names, expected, strict=True)):
        if not isinstance(name, str) or name != right:
            raise CircuitFileError(
                f"{path}: {key}[{index}] must be {shown(right)} in this graph, got {shown(name, 80)}."
            )


def _tensor(path: Path, data: dict[str, Any], key: str, shape: tuple[int, ...]) -> torch.Tensor:
    import torch

    value = data[key]
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_quantized:
        raise CircuitFileError(
            f"{path}: {shown(key)} must be a tensor, got {type(value).__name__}."
        )
    if tuple(value.shape) != shape:
        raise CircuitFileError(
            f"{path}: {shown(key)} has shape {tuple(value.shape)}, its graph needs {shape}."
        )
    if value.device.type != "cpu":
        raise CircuitFileError(f"{path}: {shown(key)} has no values (device {value.device}).")
    return value.detach()


def _scores(
    path: Path, data: dict[str, Any], key: str, shape: tuple[int, ...]
) -> np.ndarray | None:
    if data.get(key) is None:
        return None
    tensor = _tensor(path, data, key, shape)
    if not tensor.is_floating_point():
        raise CircuitFileError(f"{path}: {shown(key)} must be floating point, got {tensor.dtype}.")
    wide = tensor if tensor.dtype.itemsize == 8 else tensor.float()
    return np.array(wide.numpy())


def _flags(path: Path, data: dict[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray:
    tensor = _tensor(path, data, key, shape)
    if tensor.is_complex():
        raise CircuitFileError(f"{path}: {shown(key)} must be boolean, got {tensor.dtype}.")
    flags = np.array(tensor.bool().numpy())
    if not np.array_equal(tensor.double().numpy(), flags):
        raise CircuitFileError(f"{path}: {shown(key)} must be boolean, or numbers 0 and 1.")
    return flags
