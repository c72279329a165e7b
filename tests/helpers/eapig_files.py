"""Files of EAP-IG, edited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Level, Scores, ScoreSpace
from harness_circuits.formats import save_circuit_file

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=3)


def random_scores(level: Level, graph: Graph = GRAPH) -> Scores:
    space = ScoreSpace(graph, level)
    values = np.random.default_rng(0).standard_normal(space.shape).astype(np.float32)
    return Scores(space, values * space.real)


def random_circuit(level: Level, graph: Graph = GRAPH, share: float = 0.6) -> Circuit:
    space = ScoreSpace(graph, level)
    return Circuit(space, (np.random.default_rng(1).random(space.shape) < share) & space.real)


def without_note(path: Path) -> Path:
    """The file as EAP-IG would have written it, without our own entry."""
    if path.suffix == ".json":
        data = json.loads(path.read_text())
        del data["harness_circuits"]
        path.write_text(json.dumps(data))
    else:
        data = torch.load(path, weights_only=True)
        del data["harness_circuits"]
        torch.save(data, path)
    return path


def same(found: Scores | Circuit, expected: Scores | Circuit) -> None:
    assert type(found) is type(expected)
    assert found.space == expected.space
    for name in ("values", "kept"):
        if hasattr(expected, name):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def edit(path: Path, **changes: Any) -> Path:
    data = torch.load(path, weights_only=True)
    data.update(changes)
    torch.save({key: value for key, value in data.items() if value is not None}, path)
    return path


def plain_pt(folder: Path, item: Scores | Circuit, **changes: Any) -> Path:
    return edit(save_circuit_file(folder / "x.pt", item), harness_circuits=None, **changes)
