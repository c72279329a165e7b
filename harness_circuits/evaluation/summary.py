"""From metric values per example to the numbers of one task: metrics with intervals, and curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import size_name
from harness_circuits.evaluation.accuracy_area import accuracy_area
from harness_circuits.evaluation.curve import CurveValues, areas_of, faithfulness
from harness_circuits.evaluation.exceeding import EXCEEDS, exceeding
from harness_circuits.evaluation.null_circuits import null_facts
from harness_circuits.evaluation.uncertainty import Bounds, CurveIntervals, curve_intervals


@dataclass(frozen=True)
class Header:
    """What all examples of one task have in common.

    Attributes:
        task: The task's name.
        metric: The metric's name.
        sizes: Requested sizes.
        rankings: Evaluated rankings.
        kept: Per ranking and size, kept units after pruning.
        edges: Per ranking and size, kept edges, weighted by kept neurons.
        iters: Bootstrap resamples.
        seed: Their seed.
        agreement: How well the scores find a circuit that is known (see `agreement`), if one is.
        null_kept: Per ranking, size and random circuit, its kept units; empty if none were asked for.
        stability: Per ranking and size, the mean Jaccard index of resampled top-n units; empty if
            not asked for.
        everywhere: Of circuits over spans, per ranking and size, their `contributions` (edges times
            tokens per prompt) and those of the circuits without spans beside them (`own`).
    """

    task: str
    metric: str
    sizes: tuple[float, ...]
    rankings: tuple[Ranking, ...]
    kept: dict[Ranking, list[int]]
    edges: dict[Ranking, list[float]]
    iters: int
    seed: int
    agreement: Mapping[str, float] = field(default_factory=dict)
    null_kept: dict[Ranking, list[list[int]]] = field(default_factory=dict)
    stability: dict[Ranking, list[float]] = field(default_factory=dict)
    everywhere: dict[Ranking, dict[str, list[float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class ExampleRecord:
    """One evaluation example's values. Prints as its number, so that sample logs stay short.

    `circuits` and `accuracy` hold a value per ranking and size, `null` the metric of the random
    circuits of each size, `everywhere` that of the circuits without spans.
    """

    header: Header
    index: int
    full: float
    empty: float
    circuits: dict[Ranking, tuple[float, ...]]
    accuracy: dict[Ranking, tuple[float, ...]]
    null: dict[Ranking, Float[np.ndarray, "size null"]] = field(default_factory=dict, compare=False)
    everywhere: dict[Ranking, tuple[float, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"example {self.index}"


@dataclass(frozen=True)
class Summary:
    """Metrics by name, and the curves with their intervals as plain JSON.

    Where there is no interval (one example, or no resamples), its ends are None.
    """

    metrics: dict[str, float | None]
    curves: dict[str, Any]


ACCURACY, SHARE_ABOVE = "acc_log", "exceeds"  # beside the areas of every ranking


def _with_ends(name: str) -> list[str]:
    return [name, f"{name}_ci95_low", f"{name}_ci95_high"]


def metric_names(header: Header) -> list[str]:
    """Names of all metrics a summary holds."""
    names = ["full_metric", "corrupted_metric"]
    for ranking in header.rankings:
        if len(header.sizes) > 1:
            for area in areas_of(ranking):
                names += _with_ends(area)
            for name in (ACCURACY, SHARE_ABOVE):
                names += _with_ends(f"{name}{ranking.suffix}")
        suffix = ranking.suffix
        for size in map(size_name, header.sizes):
            names += [f"faithfulness{suffix}@{size}", f"edges{suffix}@{size}"]
            names += [f"null_percentile{suffix}@{size}"] if ranking in header.null_kept else []
            names += [f"stability{suffix}@{size}"] if ranking in header.stability else []
    return [*names, *header.agreement]


def summarise(records: Sequence[ExampleRecord]) -> Summary:
    """Aggregate the records of one task.

    Means are taken over examples before the ratio; intervals are those of `curve_intervals`, from the
    same resampled examples for all sizes and rankings.
    """
    records = sorted(records, key=lambda record: record.index)
    header = records[0].header
    n = len(records)
    uniform = np.full(n, 1 / n)
    full = np.array([record.full for record in records])
    empty = np.array([record.empty for record in records])
    metrics: dict[str, float | None] = {
        "full_metric": float(full.mean()),
        "corrupted_metric": float(empty.mean()),
    }
    metrics |= header.agreement
    curves: dict[str, Any] = {}
    values = {
        ranking: CurveValues(
            header.sizes, full, empty, np.array([record.circuits[ranking] for record in records]).T
        )
        for ranking in header.rankings
    }
    intervals, without_spread = curve_intervals(values, header.iters, header.seed)
    for ranking in header.rankings:
        hits = np.array([record.accuracy[ranking] for record in records])
        f, found = values[ranking].faithfulness(uniform), intervals[ranking]
        curves[ranking] = curve = _curve(header, ranking, f, found, hits.mean(0))
        curve |= {"resamples_without_spread": without_spread} if without_spread else {}
        curve |= _controls(records, ranking, f)
        if len(header.sizes) > 1:
            for name, area in areas_of(ranking).items():
                metrics[name] = value = float(area.function(header.sizes, f))
                metrics |= _ends(name, value, found.areas[name])
            metrics |= _beside(ranking, curve, hits, header)
        suffix = ranking.suffix
        for at, size in enumerate(map(size_name, header.sizes)):
            metrics[f"faithfulness{suffix}@{size}"] = curve["faithfulness"][at]
            metrics[f"edges{suffix}@{size}"] = curve["edges"][at]
            for name, column in control_columns(curve).items():
                metrics[f"{name}{suffix}@{size}"] = column[at]
    return Summary(metrics, curves)


def _beside(
    ranking: Ranking,
    curve: Mapping[str, Any],
    hits: Float[np.ndarray, "example size"],
    header: Header,
) -> dict[str, float | None]:
    """What stands beside the areas of a ranking: the accuracy area, and where f exceeds 1."""
    ends = curve["ci95_low"], curve["ci95_high"]
    above = exceeding(curve["faithfulness"], *ends)
    accuracy = accuracy_area(header.sizes, hits)
    found = {ACCURACY: accuracy if header.iters else (accuracy[0], None), SHARE_ABOVE: above}
    metrics: dict[str, float | None] = {}
    for plain, (value, bounds) in found.items():
        name = f"{plain}{ranking.suffix}"
        metrics |= {name: value, **_ends(name, value, bounds)}
    return metrics


def _ends(name: str, value: float, bounds: Bounds) -> dict[str, float | None]:
    low, high = _around(value, bounds)
    return {f"{name}_ci95_low": low, f"{name}_ci95_high": high}


def _controls(
    records: Sequence[ExampleRecord], ranking: Ranking, f: Float[np.ndarray, "size"]
) -> dict[str, Any]:
    """What random circuits and resampled scores say about a curve, as far as asked for."""
    header, controls = records[0].header, dict[str, Any]()
    if ranking in header.null_kept:
        full = np.mean([record.full for record in records])
        empty = np.mean([record.empty for record in records])
        metric = np.mean([record.null[ranking] for record in records], axis=0)
        null = faithfulness(metric, full, empty)
        controls["null"] = null_facts(ranking, f, null, header.null_kept[ranking])
    if ranking in header.stability:
        controls["stability"] = header.stability[ranking]
    if ranking in header.everywhere:
        controls["everywhere"] = everywhere_facts(records, ranking)
    return controls


def everywhere_facts(records: Sequence[ExampleRecord], ranking: Ranking) -> dict[str, Any]:
    """Circuits without spans beside those over spans: faithfulness, contributions, areas."""
    header = records[0].header
    full, empty = (np.array([getattr(r, end) for r in records]) for end in ("full", "empty"))
    metric = np.array([record.everywhere[ranking] for record in records])
    f = faithfulness(metric.mean(0), full.mean(), empty.mean())
    areas = areas_of(ranking).items() if len(header.sizes) > 1 else ()
    return {
        "faithfulness": f.tolist(),
        **header.everywhere[ranking],
        **{name: float(area.function(header.sizes, f)) for name, area in areas},
    }


def control_columns(curve: Mapping[str, Any]) -> dict[str, list[float]]:
    """Metrics per size that `_controls` adds to a curve, by the first part of their names."""
    columns = {"null_percentile": curve.get("null", {}).get("percentile")}
    columns["stability"] = curve.get("stability")
    return {name: column for name, column in columns.items() if column is not None}


def _around(value: float, bounds: Bounds) -> tuple[float, float] | tuple[None, None]:
    """Bounds that hold their estimate, which was added up in another order."""
    return (None, None) if bounds is None else (min(bounds[0], value), max(bounds[1], value))


def _curve(
    header: Header, ranking: Ranking, f: np.ndarray, found: CurveIntervals, hits: np.ndarray
) -> dict[str, Any]:
    ends = [_around(float(value), point) for value, point in zip(f, found.points, strict=True)]
    return {
        "sizes": list(header.sizes),
        "faithfulness": f.tolist(),
        "ci95_low": [low for low, _ in ends],
        "ci95_high": [high for _, high in ends],
        "accuracy": [float(value) for value in hits],
        "kept": header.kept[ranking],
        "edges": header.edges[ranking],
    }


def table(summary: Summary) -> str:
    """The curves as a small text table, sizes across."""
    lines: list[str] = []
    for ranking, curve in summary.curves.items():
        if not lines:
            lines.append(_row("size", [size_name(size) for size in curve["sizes"]]))
        label = Ranking(ranking).symbol
        lines.append(_row(f"faithfulness by {label}", [f"{f:z.2f}" for f in curve["faithfulness"]]))
        if curve["ci95_low"][0] is not None:
            for name, end in (("from", "low"), ("to", "high")):
                lines.append(_row(f"  95%: {name}", [f"{x:z.2f}" for x in curve[f"ci95_{end}"]]))
        lines.append(_row("  edges kept", [f"{edges:.0f}" for edges in curve["edges"]]))
        lines += _everywhere_lines(curve, Ranking(ranking), summary)
    lines += [line for ranking in summary.curves for line in _above(summary, Ranking(ranking))]
    curve = next(iter(summary.curves.values()))
    if curve["ci95_low"][0] is None:
        lines.append("no intervals: they need two pairs and resamples (bootstrap_iters)")
    elif left_out := curve.get("resamples_without_spread"):
        lines.append(f"intervals: {left_out} resamples have no spread, and are left out")
    return "\n".join(lines)


def _everywhere_lines(curve: Mapping[str, Any], ranking: Ranking, summary: Summary) -> list[str]:
    """Circuits without spans with as many contributions, below those over spans."""
    plain = curve.get("everywhere")
    if plain is None:
        return []
    counts = [f"{n:.0f}" for n in plain["contributions"]]
    lines = [
        _row("  edges x tokens", counts),
        _row("  as many, no spans", [f"{f:z.2f}" for f in plain["faithfulness"]]),
    ]
    own = [name for name in areas_of(ranking) if name in plain]
    told = ", ".join(f"{name} {summary.metrics[name]:.3f} and {plain[name]:.3f}" for name in own)
    return [*lines, f"  over spans and without: {told}"] if told else lines


def _above(summary: Summary, ranking: Ranking) -> list[str]:
    """A line where circuits do more than the model, which CPR takes for better."""
    share = summary.metrics.get(f"{SHARE_ABOVE}{ranking.suffix}")
    if not share:
        return []
    low, high = (
        summary.metrics[f"{SHARE_ABOVE}{ranking.suffix}_ci95_{e}"] for e in ("low", "high")
    )
    ends = "" if low is None or high is None else f" (surely {low:.0%}, at most {high:.0%})"
    return [
        f"by {ranking.symbol}, circuits of {share:.0%} of the sizes exceed the model: f above "
        f"{EXCEEDS:g}{ends}"
    ]


def _row(name: str, cells: list[str]) -> str:
    return f"{name:<24}" + "".join(f"{cell:>8}" for cell in cells)
