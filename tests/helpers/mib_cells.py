"""Cells of a submission to MIB."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.formats.mib_folder import (
    MibCell,
)
from harness_circuits.records.artifacts import write_artifacts
from harness_circuits.selection.selectors import circuit_of, ranked

GRAPH = Graph(n_layers=4, n_heads=6, n_kv_heads=6, d_model=4)


def random_scores(seed: int = 0, graph: Graph = GRAPH, **provenance: Any) -> Scores:
    space = ScoreSpace(graph)
    values = np.random.default_rng(seed).standard_normal(space.shape).astype(np.float32)
    return Scores(space, values * space.real, provenance)


def top(scores: Scores, size: float) -> Circuit:
    return circuit_of(scores, ranked(scores, Ranking.ABSOLUTE)[: int(size * scores.space.n_units)])


def artifacts(
    folder: Path, task: str, scores: Scores, sizes: tuple[float, ...] = MIB_SIZES
) -> Path:
    circuits = tuple(top(scores, size) for size in sizes)
    curve = SimpleNamespace(
        ranking=Ranking.ABSOLUTE, values=SimpleNamespace(sizes=sizes), circuits=circuits
    )
    result: Any = SimpleNamespace(scores=scores, curves=[curve], facts={})
    write_artifacts(folder, task, result, [], [])
    return folder / task


def tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


CELLS: Mapping[MibCell, Scores] = {
    MibCell("ioi", "gpt2"): random_scores(0),
    MibCell("arc_easy", "llama3"): random_scores(1),
}
