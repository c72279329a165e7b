"""Circuit files of a tiny graph, and ways to spoil them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats import load_circuit_file
from harness_circuits.formats.own import SCORES_KIND

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=3)
SPACE = ScoreSpace(GRAPH)
SCORED = Scores(SPACE, np.ones(SPACE.shape, np.float32) * SPACE.real)
SUFFIXES = [".json", ".pt", ".safetensors"]
EDGE = "m0->a1.h0<q>"


def refuse(path: Path, message: str, graph: Graph | None = GRAPH) -> None:
    with pytest.raises(CircuitFileError, match=message) as caught:
        load_circuit_file(path, graph)
    assert path.name in str(caught.value)


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    data = json.loads(path.read_text())
    del data["harness_circuits"]
    change(data)
    path.write_text(json.dumps(data))
    return path


def edit_pt(path: Path, **changes: Any) -> Path:
    data = torch.load(path, weights_only=True)
    data.update(changes)
    torch.save(data, path)
    return path


def edit_native(
    path: Path, *, header: dict[str, str] | None = None, arrays: dict[str, Any] | None = None
) -> Path:
    whole = {
        "format": SCORES_KIND,
        "version": "1",
        "level": "edge",
        "graph": json.dumps(GRAPH.to_dict()),
        "provenance": "{}",
    }
    save_file(arrays or load_file(path), path, metadata={**whole, **(header or {})})
    return path
