"""Where the circuit page's circuits come from: a task's artifacts, or one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonlines
import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import CircuitFileError
from harness_circuits.evaluation.curve import CurveValues
from harness_circuits.evaluation.uncertainty import curve_intervals
from harness_circuits.formats import CIRCUITS_FILE, SCORES_FILE, load_circuit_file, read_circuits
from harness_circuits.machine.files import ChecksumError
from harness_circuits.machine.packed import is_stored
from harness_circuits.records.circuit_view import MOST_EDGES, VIEW_FILE, CircuitView, read_view
from harness_circuits.records.evidence_file import evidence_beside
from harness_circuits.records.examples import example_rows
from harness_circuits.records.results_file import EXAMPLES_FILE
from harness_circuits.records.run import CurveRecord
from harness_circuits.report.circuit_page import number_of, page_data
from harness_circuits.report.evidence_view import evidence_data
from harness_circuits.selection import select
from harness_circuits.statistics.bootstrap import Interval

PAGE_EDGES = 400  # of one circuit on a page of its own
STEPS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
ITERS, SEED = 1000, 0


def folder_view(folder: Path, most: int | None = None) -> CircuitView:
    """The circuits of a task's artifacts: the compact view, or made of the files it is made of.

    Args:
        folder: The task's artifacts.
        most: Make it anew with this many edges of one circuit, where circuits are there.

    Raises:
        CircuitFileError: There is neither, or it cannot be read.
    """
    circuits = folder / CIRCUITS_FILE
    if circuits.is_file() and (most is not None or not is_stored(folder / VIEW_FILE)):
        named: dict[str, dict[str, Circuit]] = {}
        for name, circuit in read_circuits(circuits).items():
            series, _, size = name.partition("@")
            named.setdefault(series, {})[size] = circuit
        scores = folder / SCORES_FILE
        found = load_circuit_file(scores) if scores.is_file() else None
        ascending = {
            name: dict(sorted(sizes.items(), key=lambda item: number_of(item[0]) or 0.0))
            for name, sizes in named.items()
        }
        return CircuitView.of(
            ascending, found if isinstance(found, Scores) else None, most or MOST_EDGES
        )
    if not is_stored(folder / VIEW_FILE):
        raise CircuitFileError(f"{folder} has no circuits: neither {VIEW_FILE} nor {CIRCUITS_FILE}")
    return read_view(folder / VIEW_FILE)


def folder_data(folder: Path) -> dict[str, Any]:
    """The page of a task's artifacts, with intervals over its examples.

    Raises:
        CircuitError: They cannot be read.
    """
    view = folder_view(folder, PAGE_EDGES)
    evidence = evidence_beside(folder)
    if not is_stored(folder / EXAMPLES_FILE):
        return page_data(view, most=PAGE_EDGES) | evidence_data(evidence, None)
    try:
        rows = example_rows(folder / EXAMPLES_FILE)
        curves = _curves(view, rows)
    except (ChecksumError, OSError, jsonlines.Error, ValueError, KeyError, TypeError) as error:
        raise CircuitFileError(f"{folder / EXAMPLES_FILE} cannot be used: {error}.") from error
    return page_data(view, curves, rows, PAGE_EDGES) | evidence_data(evidence, curves)


def _curves(view: CircuitView, rows: Sequence[Mapping[str, Any]]) -> dict[Ranking, CurveRecord]:
    full, empty = (np.array([row[name] for row in rows], dtype=float) for name in ("full", "empty"))
    values, accuracy = {}, {}
    for series, named in view.series.items():
        ranking, sizes = Ranking.read(series), tuple(float(size) for size in named)
        columns = (
            np.array([row[kind][series] for row in rows], dtype=float).T
            for kind in ("circuits", "accuracy")
        )
        circuits, accuracy[ranking] = columns
        values[ranking] = CurveValues(sizes, full, empty, circuits)
    found, _ = curve_intervals(values, ITERS, SEED) if len(rows) > 1 else ({}, 0)
    curves = {}
    for ranking, own in values.items():
        points = own.faithfulness(np.full(len(rows), 1 / len(rows))).tolist()
        bounds = found[ranking].points if ranking in found else [None] * len(points)
        intervals = tuple(
            Interval(f, *((f, f) if b is None else (min(b[0], f), max(b[1], f))))
            for f, b in zip(points, bounds, strict=True)
        )
        edges = tuple(float(n) for n in view.series[ranking.value].values())
        hits = tuple(accuracy[ranking].mean(axis=1).tolist())
        curves[ranking] = CurveRecord(own.sizes, intervals, hits, edges, edges)
    return curves


def file_data(item: Scores | Circuit, scores: Scores | None, keep: int) -> dict[str, Any]:
    """The page of a file: the strongest units of scores in growing number, or one circuit.

    Args:
        item: What was read.
        scores: Scores behind a circuit.
        keep: Of scores, how many units the largest circuit has.
    """
    if isinstance(item, Circuit):
        circuits = {"circuit": {f"{item.n_kept} {item.space.level}s": item}}
        return page_data(CircuitView.of(circuits, scores, PAGE_EDGES), most=PAGE_EDGES)
    counts = [*(step for step in STEPS if step < keep), keep]
    chosen = select(item, counts, "top-n", ranking=Ranking.ABSOLUTE)
    named = {f"strongest {n}": circuit for n, circuit in zip(counts, chosen, strict=True)}
    view = CircuitView.of({"ranked by |score|": named}, item, PAGE_EDGES)
    return page_data(view, most=PAGE_EDGES)
