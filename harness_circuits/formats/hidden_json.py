"""Scores and circuits of MLPs' hidden units as JSON, in a layout of our own, as EAP-IG has none.

    {"cfg": {"n_layers": 2, "n_heads": 4, "parallel_attn_mlp": false, "d_model": 32, "d_mlp": 48},
     "mlp_neurons": {"m0": {"scores": [0.1, ..], "in_graph": [true, ..]}, ..},
     "harness_circuits": {"version": 1, "level": "mlp-neuron", "content": "scores", ..}}

Per MLP the scores of its units, or which of them a circuit keeps. There are neither `nodes` nor `edges`,
so that no reader of EAP-IG's or MIB's files can take it for a circuit of theirs.
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
from harness_circuits.circuits.scores import HIDDEN_UNITS, Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError, shown
from harness_circuits.formats.checks import MAX_CELLS, check_finite, graph_of_cfg
from harness_circuits.formats.content import NOTE
from harness_circuits.formats.parts import IN_GRAPH, SCORES, Parts, Read
from harness_circuits.machine.files import write_atomically

KEY = "mlp_neurons"


def write(path: Path, item: Scores | Circuit, cfg: Mapping[str, Any]) -> Path:
    """Write scores or a circuit, atomically.

    Args:
        path: The file.
        item: What to write.
        cfg: EAP-IG's entry of the sizes of its graph.
    """
    scored = isinstance(item, Scores)
    name, values = (SCORES, item.values) if isinstance(item, Scores) else (IN_GRAPH, item.kept)
    note: dict[str, Any] = {"version": 1, "level": HIDDEN_UNITS, "content": name}
    if isinstance(item, Scores):
        note["provenance"] = json.loads(json.dumps(dict(item.provenance), default=str))
    data = {
        "cfg": {**cfg, "d_mlp": item.space.graph.d_mlp},
        KEY: {f"m{layer}": {name: row.tolist()} for layer, row in enumerate(values)},
        NOTE: note,
    }
    return write_atomically(path, (json.dumps(data, allow_nan=not scored) + "\n").encode())


def parts_of(path: Path, data: Mapping[str, Any], graph: Graph | None) -> Parts:
    """What a file holds.

    Args:
        path: The file.
        data: Its content.
        graph: The graph it must be for; None takes the file's word for it.

    Raises:
        CircuitFileError: The file is malformed, or another model's.
    """
    found = graph_of_cfg(path, data.get("cfg"), graph)
    width, rows, note = data["cfg"].get("d_mlp"), data[KEY], data.get(NOTE, {})
    if type(width) is not int or not 0 < width * found.n_layers <= MAX_CELLS:
        raise CircuitFileError(
            f"{path}: cfg['d_mlp'] must be a positive whole number, got {shown(width, 80)}."
        )
    space = ScoreSpace(replace(found, d_mlp=width), HIDDEN_UNITS)
    names = {f"m{layer}" for layer in range(found.n_layers)}
    if not isinstance(rows, Mapping) or set(rows) != names:
        raise CircuitFileError(
            f"{path}: {shown(KEY)} must have an entry for every MLP, m0 and so on."
        )
    entries = list(rows.values())
    if not isinstance(note, Mapping) or not all(isinstance(entry, Mapping) for entry in entries):
        raise CircuitFileError(f"{path}: {shown(KEY)} and {shown(NOTE)} hold mappings.")
    provenance = note.get("provenance", {})
    if not isinstance(provenance, Mapping):
        raise CircuitFileError(f"{path}: the provenance is not a mapping.")
    kinds = {kind for entry in entries for kind in entry}
    if not kinds or not kinds <= {SCORES, IN_GRAPH}:
        raise CircuitFileError(
            f"{path}: an MLP has {SCORES!r} or {IN_GRAPH!r}, got {shown(kinds, 80)}."
        )
    parts: dict[str, Callable[[], Scores | Circuit]] = {}
    if SCORES in kinds:
        values = _rows(path, rows, SCORES, space, (int, float)).astype(np.float64)
        check_finite(path, space, values)
        parts[SCORES] = partial(Scores, space, _narrow(values), dict(provenance))
    if IN_GRAPH in kinds:
        kept = _rows(path, rows, IN_GRAPH, space, (bool,))
        parts[IN_GRAPH] = partial(Circuit, space, kept.astype(bool))
    return Read(parts, foreign=False)


def _rows(
    path: Path, rows: Mapping[str, Any], kind: str, space: ScoreSpace, types: tuple[type, ...]
) -> np.ndarray:
    """One kind of entry of all MLPs."""
    n_layers, width = space.shape
    found = [rows[f"m{layer}"].get(kind) for layer in range(n_layers)]
    for layer, row in enumerate(found):
        whole = isinstance(row, list) and len(row) == width
        if not whole or any(type(value) not in types for value in row):
            raise CircuitFileError(
                f"{path}: {shown(kind)} of 'm{layer}' must be {width} "
                f"{'flags' if bool in types else 'numbers'}, got {shown(row, 80)}."
            )
    try:
        return np.array(found, dtype=bool if bool in types else np.float64)
    except OverflowError as error:
        raise CircuitFileError(f"{path}: a score is too large.") from error


def _narrow(values: np.ndarray) -> np.ndarray:
    """The values as float32, if those are the same numbers."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return single if np.array_equal(single, values) else values
