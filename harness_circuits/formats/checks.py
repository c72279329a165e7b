"""Checks on a circuit file before it is trusted: presence, size, and whose graph it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import CircuitFileError, shown
from harness_circuits.machine.files import check_checksum

# Limits where no graph says what a file may need, and for what is not an array.
MAX_BYTES = 2 << 30
MAX_CELLS = 1 << 28
NOTE_BYTES = 1 << 20


def check_is_there(path: Path) -> None:
    """Refuse a file that is missing, whatever it is called.

    Raises:
        CircuitFileError: It is.
    """
    if not path.is_file():
        raise CircuitFileError(f"There is no circuit file {path}.")


def check_file(path: Path, limit: int) -> None:
    """Refuse a file that is missing, empty, larger than anything its graph can need, or changed.

    Args:
        path: The file; a checksum beside it is checked.
        limit: How many bytes it may have.

    Raises:
        CircuitFileError: It is one of these.
    """
    check_is_there(path)
    size = path.stat().st_size
    if size == 0:
        raise CircuitFileError(f"{path} is empty.")
    if size > limit:
        raise CircuitFileError(
            f"{path} has {size:,} bytes; a circuit file of this graph needs at most {limit:,}. "
            "It was not read."
        )
    check_checksum(path)


def ungrouped(graph: Graph) -> Graph:
    """The same graph with a key and a value input per query head, which is all EAP-IG knows."""
    return replace(graph, n_kv_heads=graph.n_heads)


def graph_of_cfg(path: Path, cfg: object, expected: Graph | None) -> Graph:
    """Graph that an EAP-IG `cfg` describes.

    Args:
        path: The file, for messages.
        cfg: `n_layers`, `n_heads`, `d_model` and `parallel_attn_mlp`; more is ignored.
        expected: The graph the file must be for, if it is known.

    Raises:
        CircuitFileError: Sizes are missing or not numbers, or describe another model.
    """
    if not isinstance(cfg, Mapping):
        raise CircuitFileError(f"{path}: 'cfg' must map names to sizes, got {shown(cfg, 80)}.")
    sizes: dict[str, Any] = {}
    for key in ("n_layers", "n_heads", "d_model"):
        sizes[key] = cfg.get(key)
        if type(sizes[key]) is not int or not 0 < sizes[key] < 1 << 20:
            raise CircuitFileError(
                f"{path}: cfg[{shown(key)}] must be a positive whole number, got "
                f"{shown(cfg.get(key), 80)}."
            )
    parallel = cfg.get("parallel_attn_mlp")
    if type(parallel) is not bool:
        raise CircuitFileError(
            f"{path}: cfg['parallel_attn_mlp'] must be true or false, got {shown(parallel, 80)}."
        )
    graph = Graph(**sizes, n_kv_heads=sizes["n_heads"], parallel=parallel)
    if expected is not None and graph != ungrouped(expected):
        raise other_model(path, graph, ungrouped(expected))
    if graph.n_src * graph.n_dst > MAX_CELLS or graph.n_src * graph.d_model > MAX_CELLS:
        raise CircuitFileError(f"{path}: cfg describes an implausibly large graph, {sizes}.")
    return graph


def other_model(path: Path, found: Graph, expected: Graph) -> CircuitFileError:
    """The error for a file of another model's graph."""
    return CircuitFileError(
        f"{path} is for a graph of {_shape(found)}; this model's graph has {_shape(expected)}."
    )


def check_finite(path: Path, space: ScoreSpace, values: np.ndarray) -> None:
    """Refuse scores that are not finite, naming the first.

    Raises:
        CircuitFileError: A unit that exists has such a score.
    """
    bad = ~np.isfinite(values) & space.real
    if bad.any():
        at = tuple(int(x) for x in np.argwhere(bad)[0])
        raise CircuitFileError(
            f"{path}: the score of {space.unit_name(*at)} is {values[at]}, and "
            f"{int(bad.sum()) - 1} more of {space.n_units} {space.level} scores are not finite."
        )


def _shape(graph: Graph) -> str:
    parallel = ", parallel attention and MLP" if graph.parallel else ""
    return (
        f"{graph.n_layers} layers, {graph.n_heads} heads ({graph.n_kv_heads} key/value heads), "
        f"width {graph.d_model}{parallel} (edge scores {graph.n_src} x {graph.n_dst})"
    )
