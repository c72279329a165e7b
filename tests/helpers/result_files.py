"""Results files as `lm_eval --model circuit --output_path` leaves them, made without a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.evaluation.curve import CurveValues
from harness_circuits.evaluation.result import Curve, ExampleValues, Result
from harness_circuits.evaluation.summary import ExampleRecord, Header, summarise
from harness_circuits.pairs.pair import Pair
from harness_circuits.records.artifacts import write_artifacts
from harness_circuits.selection import select
from harness_circuits.settings import Settings

GRAPH = Graph(n_layers=4, n_heads=4, n_kv_heads=4, d_model=8)
SIZES = (0.01, 0.1, 0.5, 1.0)


def examples(
    seed: int = 0,
    n: int = 40,
    *,
    noise: float = 0.5,
    shift: float = 0.0,
    sizes: tuple[float, ...] = SIZES,
    task: str = "ioi_circuit",
    data_seed: int = 7,
) -> list[ExampleRecord]:
    """Values of a plausible run: the same `data_seed` gives the same examples, `seed` other circuits.

    Args:
        seed: Of the noise in the circuits' values.
        n: Number of examples.
        noise: Standard deviation of that noise; full and empty values differ by about 4.
        shift: Added to the circuits' values at all sizes below 1.
        sizes: Circuit sizes.
        task: Name of the task.
        data_seed: Of the examples.
    """
    data, own = np.random.default_rng(data_seed), np.random.default_rng(seed)
    full, empty, hard = data.normal(3, 1, n), data.normal(-1, 1, n), data.normal(0, 0.7, n)
    circuits, hits = {}, {}
    for ranking in Ranking:
        share = np.array(sizes)[:, None] ** 0.2
        values = (
            empty + share * (full - empty) + own.normal(0, noise, (len(sizes), n)) + hard + shift
        )
        values[np.array(sizes) == 1] = full
        circuits[ranking], hits[ranking] = values, (values > 0).astype(float)
    return [
        ExampleRecord(
            _header(task, sizes),
            at,
            float(full[at]),
            float(empty[at]),
            {name: tuple(values[:, at].tolist()) for name, values in circuits.items()},
            {name: tuple(values[:, at].tolist()) for name, values in hits.items()},
        )
        for at in range(n)
    ]


def _header(task: str, sizes: tuple[float, ...]) -> Header:
    return Header(
        task=task,
        metric="logit_diff",
        sizes=sizes,
        rankings=tuple(Ranking),
        kept={ranking: [int(size * 1000) for size in sizes] for ranking in Ranking},
        edges={ranking: [size * 1000 for size in sizes] for ranking in Ranking},
        iters=500,
        seed=0,
    )


def result_json(
    records: list[ExampleRecord],
    *,
    method: str = "EAP-IG-inputs",
    model: str = "tiny",
    artifacts: Path | None = None,
    pairs: str = "abc",
    date: float = 1.0,
    evidence: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One results file with one task."""
    summary, header = summarise(records), records[0].header
    facts = {
        "metric": header.metric,
        "n_discovery": 20,
        "n_evaluation": len(records),
        "evaluation_pairs": pairs,
        "accuracy": {"value": 0.9, "low": 0.75, "high": 0.97, "chance": 0.5},
        "discovery_seconds": 2.5,
        "evaluation_seconds": 1.25,
        "discovery_peak_bytes": 3 * 2**20,
        "evaluation_peak_bytes": 5 * 2**20,
        "curves": summary.curves,
        **({"evidence": dict(evidence)} if evidence else {}),
    }
    circuit = {
        "model": model,
        "graph": {**GRAPH.to_dict(), "n_nodes": GRAPH.n_src + 1, "n_edges": GRAPH.n_edges},
        "settings": Settings(method=method, sizes=header.sizes, **(settings or {})).to_dict(),
        "versions": {},
        "artifacts": None if artifacts is None else str(artifacts),
        "tasks": {header.task: facts},
    }
    metrics = {f"{name},none": value for name, value in summary.metrics.items()}
    return {
        "results": {header.task: {"alias": header.task, "acc,none": 0.9, **metrics}},
        "config": {"model_revision": "main", "model_dtype": "torch.float32", "circuit": circuit},
        "date": date,
    }


def text_pairs(n: int) -> list[Pair]:
    """Pairs for artifacts."""
    return [Pair(f"clean {i}", f"corrupted {i}", (" a", " b"), (0,), (1,)) for i in range(n)]


def write_run(
    folder: Path,
    records: list[ExampleRecord],
    *,
    with_examples: bool = True,
    **options: Any,
) -> Path:
    """Write a results file, and its artifacts beside it; returns the results file."""
    artifacts = folder / "artifacts" if with_examples else None
    if artifacts is not None:
        result, task = _result(records), records[0].header.task
        if evidence := options.get("evidence"):
            result = replace(result, facts={"evidence": evidence})
        write_artifacts(artifacts, task, result, records, text_pairs(len(records)))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "results_2026-01-01T00-00-00.json"
    file.write_text(json.dumps(result_json(records, artifacts=artifacts, **options)))
    return file


def with_task(records: list[ExampleRecord], task: str) -> list[ExampleRecord]:
    """The same values under another task's name."""
    header = replace(records[0].header, task=task)
    return [replace(record, header=header) for record in records]


def random_scores(graph: Graph = GRAPH, seed: int = 0) -> Scores:
    """Scores of which few are large, as real ones."""
    space = ScoreSpace(graph, "edge")
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(space.shape) * generator.exponential(1, space.shape) ** 3
    return Scores(space, np.where(space.real, values, 0.0), {"method": "random"})


def _result(records: list[ExampleRecord]) -> Result:
    """A result with real scores and circuits; the values per example are not read from it."""
    scores, sizes = random_scores(), records[0].header.sizes
    counts = [scores.space.n_at(size) for size in sizes]
    nothing = np.zeros(1)
    values = CurveValues(sizes, nothing, nothing, np.zeros((len(sizes), 1)))
    curves = []
    for ranking in Ranking:
        circuits: list[Circuit] = select(scores, counts, "top-n", ranking=ranking)
        hits, null = np.zeros((len(sizes), 1)), np.zeros((len(sizes), 0, 1))
        kept = np.zeros((len(sizes), 0), dtype=int)
        curves.append(Curve(ranking, values, tuple(circuits), hits, null, kept))
    examples = ExampleValues(
        (0,), nothing, nothing, values.circuits, values.circuits, nothing, [], [], nothing, nothing
    )
    header = records[0].header
    return Result(header.task, header.metric, scores, tuple(curves), examples, {})
