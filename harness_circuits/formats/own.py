"""Our own files: safetensors, with graph, level and provenance as JSON in the header.

    scores.safetensors    an array `scores`, and `samples` [group, *units] where they were kept
    circuits.safetensors  one boolean array per circuit, named like `absolute@0.05`

Unlike EAP-IG's, these can hold graphs with grouped key/value heads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import LEVELS, Scores, ScoreSpace, write_atomically
from harness_circuits.errors import CircuitError, CircuitFileError, UnknownNameError
from harness_circuits.formats.checks import check_finite, check_size

SCORES = "harness_circuits.circuits.scores"
CIRCUITS = "harness_circuits.circuits"
MAX_HEADER = 16 << 20
_NO_LIMIT = 1 << 62  # arrays are mapped, and read only after their shapes are checked


def write_scores(path: Path, scores: Scores) -> Path:
    """Write scores with their provenance, and their samples if they have any, atomically."""
    arrays, extra = {"scores": scores.values}, {}
    if scores.samples is not None:
        arrays["samples"] = scores.samples.sums
        extra["sample_sizes"] = json.dumps(scores.samples.sizes.tolist())
    return _write(path, SCORES, scores.space, arrays, scores.provenance, extra)


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
    space, arrays, header = _read(path, SCORES)
    if not {"scores"} <= set(arrays) <= {"scores", "samples"}:
        raise CircuitFileError(
            f"{path} must hold an array 'scores', and 'samples' or nothing else; got "
            f"{sorted(arrays)!r:.200}."
        )
    values = arrays["scores"]
    if values.dtype not in (np.float16, np.float32, np.float64):
        raise CircuitFileError(f"{path}: scores must be floating point, got {values.dtype}.")
    check_finite(path, space, values)
    provenance = _json(path, header, "provenance")
    if not isinstance(provenance, dict):
        raise CircuitFileError(f"{path}: the provenance is not a mapping.")
    return Scores(space, values, provenance, _samples(path, header, arrays.get("samples")))


def read_circuits(path: Path) -> dict[str, Circuit]:
    """Read circuits that `write_circuits` wrote.

    Raises:
        CircuitFileError: The file is missing, damaged, or not one of ours.
    """
    space, arrays, _ = _read(path, CIRCUITS)
    try:
        return {name: Circuit(space, kept) for name, kept in arrays.items()}
    except CircuitFileError as error:
        raise CircuitFileError(f"{path}: {error}") from error


def read_native(path: Path, name: str | None) -> Scores | Circuit:
    """Read scores, or the circuit called `name`; a file of one circuit needs no name.

    Raises:
        CircuitFileError: The file is missing, damaged, or not one of ours.
        UnknownNameError: It has no such circuit, or several and no name was given.
    """
    if name is None and _header(path).get("format") == SCORES:
        return read_scores(path)
    circuits = read_circuits(path)
    if name is None and len(circuits) == 1:
        return next(iter(circuits.values()))
    if name not in circuits:
        raise UnknownNameError(
            f"{path} has {len(circuits)} circuits; choose one as FILE#NAME, NAME being one of "
            f"{', '.join(circuits)}{'' if name is None else f' (got {name!r})'}."
        )
    return circuits[name]


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
        **extra,
    }
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return write_atomically(path, save(whole, metadata=header))


def _header(path: Path) -> dict[str, str]:
    """The metadata, after a look at the header's declared length."""
    from safetensors import safe_open

    check_size(path, _NO_LIMIT)
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
            f"{header.get('format')!r:.80}, version {header.get('version')!r:.20})."
        )
    if header.get("level") not in LEVELS:
        raise CircuitFileError(f"{path}: unknown level {header.get('level')!r:.80}.")
    try:
        graph = Graph.from_dict(_json(path, header, "graph"))
    except CircuitError as error:
        raise CircuitFileError(f"{path}: {error}") from error
    space = ScoreSpace(graph, header["level"])  # type: ignore[arg-type]
    arrays = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (not a dictionary)
                shape = tuple(file.get_slice(name).get_shape())
                if (shape[1:] if name == "samples" else shape) != space.shape:
                    raise CircuitFileError(
                        f"{path}: {name!r:.80} has shape {shape}, its graph needs {space.shape}."
                    )
                arrays[name] = file.get_tensor(name)
    except CircuitFileError:
        raise
    except Exception as error:  # as above
        raise _unreadable(path, error) from error
    return space, arrays, header


def _samples(path: Path, header: Mapping[str, str], sums: np.ndarray | None) -> Samples | None:
    if sums is None:
        return None
    sizes = _json(path, header, "sample_sizes")
    if not isinstance(sizes, list) or not all(type(size) is int for size in sizes):
        raise CircuitFileError(f"{path}: sample_sizes are whole numbers, got {sizes!r:.80}.")
    try:
        return Samples(sums, np.array(sizes, dtype=np.int64))
    except (CircuitError, OverflowError) as error:
        raise CircuitFileError(f"{path}: {error}") from error


def _json(path: Path, header: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(header[name])
    except (KeyError, ValueError, RecursionError) as error:
        raise CircuitFileError(f"{path}: the header's {name!r} is missing or not JSON.") from error


def _unreadable(path: Path, error: Exception) -> CircuitFileError:
    return CircuitFileError(f"{path} is not a readable safetensors file: {error}.")
