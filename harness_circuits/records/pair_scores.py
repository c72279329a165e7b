"""A pair's values as Inspect keeps them: a flat dictionary of numbers, and what its metric needs.

    values     full, empty          metric of the whole model and of the empty circuit
               circuit@SIZE, circuit_signed@SIZE    that of each circuit
               acc, and the behaviour               as any harness model reports them
    details    index                number of the document
               header               what all pairs have in common (`Header`)
               accuracy             per ranking and size, 1 where the circuit chooses right
               null                 per ranking, size and random circuit, the metric
               run                  on one pair: what the log's metadata say (`FACTS`)

One number stands in one place: `values` are what is aggregated, here and by `inspect score`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import size_name
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.evaluation.summary import ExampleRecord, Header, Summary, summarise

FACTS = "run"
POINT_COLUMNS = ("ci95_low", "ci95_high", "accuracy")
OWN = ("full", "empty")


@dataclass(frozen=True)
class PairScore:
    """A pair's values, and what its metric needs beside them."""

    values: dict[str, float]
    details: dict[str, Any]


def circuit_value(ranking: Ranking, size: float) -> str:
    """The name of a circuit's metric."""
    return f"circuit{ranking.suffix}@{size_name(size)}"


def pair_score(record: ExampleRecord, plain: Mapping[str, float]) -> PairScore:
    """A pair's record as a score.

    Args:
        record: Its values.
        plain: What any harness model reports of it: accuracy and the behaviour.
    """
    values = {"full": record.full, "empty": record.empty, **plain}
    for ranking, metrics in record.circuits.items():
        for size, value in zip(record.header.sizes, metrics, strict=True):
            values[circuit_value(ranking, size)] = value
    details = {
        "index": record.index,
        "header": _plain(asdict(record.header)),
        "accuracy": {ranking.value: list(hits) for ranking, hits in record.accuracy.items()},
        "null": {ranking.value: null.tolist() for ranking, null in record.null.items()},
    }
    return PairScore(values, details)


def _plain(data: Any) -> Any:
    """The same as JSON has it."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(item) for item in data]
    return str(data) if isinstance(data, str) else data


def is_pair_score(score: Any) -> bool:
    """Whether a score of a log is a pair's, and not that of another scorer."""
    if not isinstance(score, Mapping):
        return False
    value, details = score.get("value"), score.get("metadata")
    if not isinstance(value, Mapping) or not isinstance(details, Mapping):
        return False
    return set(OWN) <= set(value) and "header" in details


def record_of(values: Mapping[str, Any], details: Mapping[str, Any]) -> ExampleRecord:
    """The record behind a pair's score.

    Raises:
        KeyError, TypeError, ValueError: It is no pair's score.
    """
    header = _header(details["header"])
    circuits = {
        ranking: tuple(float(values[circuit_value(ranking, size)]) for size in header.sizes)
        for ranking in header.rankings
    }
    accuracy = {
        ranking: tuple(float(hit) for hit in details["accuracy"][ranking])
        for ranking in header.rankings
    }
    null = {Ranking(name): np.array(rows, dtype=float) for name, rows in details["null"].items()}
    index, ends = int(details["index"]), (float(values["full"]), float(values["empty"]))
    return ExampleRecord(header, index, *ends, circuits, accuracy, null)


def _header(data: Mapping[str, Any]) -> Header:
    by_ranking = ("kept", "edges", "null_kept", "stability")
    columns = {n: {Ranking(key): rows for key, rows in data[n].items()} for n in by_ranking}
    return Header(
        task=str(data["task"]),
        metric=str(data["metric"]),
        sizes=tuple(float(size) for size in data["sizes"]),
        rankings=tuple(Ranking(name) for name in data["rankings"]),
        iters=int(data["iters"]),
        seed=int(data["seed"]),
        agreement=dict(data["agreement"]),
        **columns,
    )


def metrics_of(scores: Sequence[tuple[Any, Any]]) -> dict[str, float]:
    """The metrics of a task: means over pairs first, then ratios, then areas.

    Args:
        scores: Values and details of every pair.

    Returns:
        By the names of lm-eval's results, areas first; and of every point of a curve the ends of its
        interval and the circuit's accuracy. What is not defined is left out.
    """
    if not scores:
        return {}
    summary = summarise([record_of(values, details) for values, details in scores])
    metrics = dict(summary.metrics)
    first = [name for name in metrics if name.startswith(tuple(AREAS))]
    found = {name: metrics.pop(name) for name in first}
    plain = [name for name in scores[0][0] if name not in OWN and "@" not in name]
    found |= _means({name: [float(values[name]) for values, _ in scores] for name in plain})
    found |= metrics | _points(summary)
    return {name: float(value) for name, value in found.items() if value is not None}


def _means(columns: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, column in columns.items():
        n = len(column)
        found[name] = float(np.mean(column))
        found[f"{name}_stderr"] = float(np.std(column, ddof=1)) / math.sqrt(n) if n > 1 else None
    return found


def point_name(ranking: Ranking, size: float, column: str) -> str:
    """The name of a number of one point of a curve."""
    at = f"{ranking.suffix}@{size_name(size)}"
    return f"faithfulness{at}_{column}" if column.startswith("ci95") else f"{column}{at}"


def _points(summary: Summary) -> dict[str, float | None]:
    found = {}
    for name, curve in summary.curves.items():
        for at, size in enumerate(curve["sizes"]):
            for column in POINT_COLUMNS:
                found[point_name(Ranking(name), size, column)] = curve[column][at]
    return found


def explanation(values: Mapping[str, float], details: Mapping[str, Any]) -> str:
    """A pair's circuits as a table, for people who look at the log."""
    header = _header(details["header"])
    lines = [
        f"{header.metric}: {values['full']:.4g} for the whole model, {values['empty']:.4g} for the "
        "empty circuit.",
        "",
        "| size | " + " | ".join(f"by {ranking} score" for ranking in header.rankings) + " |",
        "|---:|" + "---:|" * len(header.rankings),
    ]
    for size in header.sizes:
        cells = (f"{values[circuit_value(r, size)]:.4g}" for r in header.rankings)
        lines.append(f"| {size_name(size)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
