"""Our own files: safetensors, with graph, level and provenance as JSON in the header.

    scores.safetensors    an array `scores`, `samples` [group, *units] where they were kept,
                          `standard_errors` where the method has them, and `in_graph` where a
                          circuit stands beside them
    circuits.safetensors  one boolean array per circuit, named like `absolute@0.05`

Unlike EAP-IG's, these can hold graphs with grouped key/value heads, and units over spans of prompts:
the header has the spans then, and arrays an axis of them, [span, src, dst].
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import LEVELS, Scores, ScoreSpace
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import CircuitError, CircuitFileError, shown
from harness_circuits.formats.checks import check_file, check_finite
from harness_circuits.formats.parts import IN_GRAPH, SCORES, Parts, Read
from harness_circuits.machine.files import write_atomically

ERRORS = "standard_errors"
SCORES_KIND = "harness_circuits.circuits.scores"
CIRCUITS = "harness_circuits.circuits"
MAX_HEADER = 16 << 20
_NO_LIMIT = 1 << 62  # arrays are mapped, and read only after their shapes are checked


def write_scores(path: Path, scores: Scores) -> Path:
    """Write scores with their provenance, samples and circuit, as far as they have any, atomically."""
    arrays, extra = {SCORES: scores.values}, {}
    if scores.samples is not None:
        arrays["samples"] = scores.samples.sums
        extra["sample_sizes"] = json.dumps(scores.samples.sizes.tolist())
    if scores.standard_errors is not None:
        arrays[ERRORS] = scores.standard_errors
    if scores.circuit is not None:
        space = scores.circuit.space
        arrays[IN_GRAPH] = scores.circuit.kept
        extra["circuit_level"], extra["circuit_graph"] = (
            space.level,
            json.dumps(space.graph.to_dict()),
        )
    return _write(path, SCORES_KIND, scores.space, arrays, scores.provenance, extra)


def write_circuits(path: Path, circuits: Mapping[str, Circuit]) -> Path:
    """Write named circuits of one space into one file, atomically.

    Raises:
        CircuitFileError: There are none, or of several spaces.
    """
    spaces = {circuit.space for circuit in circuits.values()}
    if len(spaces) != 1:
        raise CircuitFileError(
            f"A circuits file holds circuits of one graph and level, got {len(spaces)} of them."
        )
    arrays = {name: circuit.kept for name, circuit in circuits.items()}
    return _write(path, CIRCUITS, spaces.pop(), arrays, {}, {})


def read_scores(path: Path) -> Scores:
    """Read scores that `write_scores` wrote.

    Raises:
        CircuitFileError: The file is missing, damaged, or not one of ours.
    """
    space, arrays, header = _read(path, SCORES_KIND)
    if not {SCORES} <= set(arrays) <= {SCORES, "samples", ERRORS, IN_GRAPH}:
        raise CircuitFileError(
            f"{path} must hold an array 'scores', and 'samples', 'standard_errors' and 'in_graph' or "
            f"nothing else; got {shown(sorted(arrays))}."
        )
    values, errors = arrays[SCORES], arrays.get(ERRORS)
    for array in (values,) if errors is None else (values, errors):
        if array.dtype not in (np.float16, np.float32, np.float64):
            raise CircuitFileError(f"{path}: scores must be floating point, got {array.dtype}.")
        check_finite(path, space, array)
    if errors is not None and (errors < 0).any():
        raise CircuitFileError(
            f"{path}: standard errors are not negative, the least is {errors.min()}."
        )
    provenance = _json(path, header, "provenance")
    if not isinstance(provenance, dict):
        raise CircuitFileError(f"{path}: the provenance is not a mapping.")
    circuit = None
    if IN_GRAPH in arrays:
        (circuit,) = _circuits(
            path, _space(path, header, "circuit_"), {"": arrays[IN_GRAPH]}
        ).values()
    samples = _samples(path, header, arrays.get("samples"))
    return Scores(space, values, provenance, samples, circuit, errors)


def read_circuits(path: Path) -> dict[str, Circuit]:
    """Read circuits that `write_circuits` wrote.

    Raises:
        CircuitFileError: The file is missing, damaged, or not one of ours.
    """
    space, arrays, _ = _read(path, CIRCUITS)
    return _circuits(path, space, arrays)


def read(path: Path, graph: Graph | None) -> Parts:
    """Read a file of scores, or of circuits by name.

    Args:
        path: The file.
        graph: Has no say: the file states its own, and arrays are checked against that.

    Raises:
        CircuitFileError: The file is missing, damaged, or not one of ours.
    """
    if _header(path).get("format") != SCORES_KIND:
        circuits = read_circuits(path).items()
        return Read({name: partial(_same, circuit) for name, circuit in circuits}, foreign=False)
    scores = read_scores(path)
    parts: dict[str, Callable[[], Scores | Circuit]] = {}
    parts[SCORES] = partial(_same, replace(scores, circuit=None))
    if scores.circuit is not None:
        parts[IN_GRAPH] = partial(_same, scores.circuit)
    return Read(parts, foreign=False)


def write(path: Path, item: Scores | Circuit) -> Path:
    """Write scores, or one circuit, atomically."""
    if isinstance(item, Scores):
        return write_scores(path, item)
    return write_circuits(path, {"circuit": item})


def _same(item: Scores | Circuit) -> Scores | Circuit:
    return item


def _circuits(
    path: Path, space: ScoreSpace, arrays: Mapping[str, np.ndarray]
) -> dict[str, Circuit]:
    try:
        return {name: Circuit(space, kept) for name, kept in arrays.items()}
    except CircuitError as error:
        raise CircuitFileError(f"{path}: {error}") from error


def _write(
    path: Path,
    kind: str,
    space: ScoreSpace,
    arrays: Mapping[str, np.ndarray],
    provenance: Mapping[str, Any],
    extra: Mapping[str, str],
) -> Path:
    from safetensors.numpy import save

    header = {
        "format": kind,
        "version": "1",
        "level": space.level,
        "graph": json.dumps(space.graph.to_dict()),
        "provenance": json.dumps(dict(provenance), default=str),
        **({} if space.spans is None else {"spans": json.dumps(space.spans.to_dict())}),
        **extra,
    }
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return write_atomically(path, save(whole, metadata=header))


def _header(path: Path) -> dict[str, str]:
    """The metadata, after a look at the header's declared length."""
    from safetensors import safe_open

    check_file(path, _NO_LIMIT)
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER:
        raise CircuitFileError(
            f"{path} declares a header of {length:,} bytes; at most {MAX_HEADER:,} are read. It is "
            "no safetensors file of ours."
        )
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except Exception as error:  # the reader's own errors share no base class
        raise _unreadable(path, error) from error


def _read(path: Path, kind: str) -> tuple[ScoreSpace, dict[str, np.ndarray], dict[str, str]]:
    from safetensors import safe_open

    header = _header(path)
    if header.get("format") != kind or header.get("version") != "1":
        raise CircuitFileError(
            f"{path} is not a {kind} file of version 1 (its header says "
            f"{shown(header.get('format'), 80)}, version {shown(header.get('version'), 20)})."
        )
    space = _space(path, header)
    arrays = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (not a dictionary)
                shape = tuple(file.get_slice(name).get_shape())
                owner = space if name != IN_GRAPH else _space(path, header, "circuit_")
                needed = owner.shape
                if (shape[1:] if name == "samples" else shape) != needed:
                    raise CircuitFileError(
                        f"{path}: {shown(name, 80)} has shape {shape}, its graph needs {needed}."
                    )
                arrays[name] = file.get_tensor(name)
    except CircuitFileError:
        raise
    except Exception as error:  # as above
        raise _unreadable(path, error) from error
    return space, arrays, header


def _space(path: Path, header: Mapping[str, str], of: str = "") -> ScoreSpace:
    """The units that a file is about, or (`circuit_`) those of the circuit beside its scores."""
    level = header.get(f"{of}level")
    if level not in LEVELS:
        raise CircuitFileError(f"{path}: unknown level {shown(level, 80)}.")
    try:
        graph = Graph.from_dict(_json(path, header, f"{of}graph"))
        spans = Spans.from_dict(_json(path, header, "spans")) if "spans" in header else None
        return ScoreSpace(graph, level, None if of else spans)
    except CircuitError as error:
        raise CircuitFileError(f"{path}: {error}") from error


def _samples(path: Path, header: Mapping[str, str], sums: np.ndarray | None) -> Samples | None:
    if sums is None:
        return None
    sizes = _json(path, header, "sample_sizes")
    if not isinstance(sizes, list) or not all(type(size) is int for size in sizes):
        raise CircuitFileError(f"{path}: sample_sizes are whole numbers, got {shown(sizes, 80)}.")
    try:
        return Samples(sums, np.array(sizes, dtype=np.int64))
    except (CircuitError, OverflowError) as error:
        raise CircuitFileError(f"{path}: {error}") from error


def _json(path: Path, header: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(header[name])
    except (KeyError, ValueError, RecursionError) as error:
        raise CircuitFileError(
            f"{path}: the header's {shown(name)} is missing or not JSON."
        ) from error


def _unreadable(path: Path, error: Exception) -> CircuitFileError:
    return CircuitFileError(f"{path} is not a readable safetensors file: {error}.")
