"""Intervals of a curve's points and areas.

Faithfulness is a ratio of means, of m(C) - m(empty) to m(full) - m(empty), and so are the areas: CPR is
a weighted sum over sizes, and so is CMD once the sign of each 1 - f is known. Where f is near 1 it is
not, and |1 - f| lies above its truth. There, CMD's interval holds that of both choices: with the signs
as they are estimated, and with those turned round that the points' own errors leave open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.curve import Area, CurveValues, areas_of
from harness_circuits.statistics.ratio import (
    RatioIntervals,
    ratio_intervals,
    sign_choices,
)

Bounds = tuple[float, float] | None  # None where there is no interval


@dataclass(frozen=True)
class CurveIntervals:
    """95% intervals of one curve.

    Attributes:
        points: Of faithfulness per size.
        areas: By the area's name; none for a curve of one point.
    """

    points: list[Bounds]
    areas: dict[str, Bounds]


def curve_intervals(
    curves: Mapping[Ranking, CurveValues], iters: int, seed: int
) -> tuple[dict[Ranking, CurveIntervals], int]:
    """Intervals of all curves of one task, from the same resamples.

    Args:
        curves: Values per example; full model and empty circuit are those of all.
        iters: Resamples.
        seed: Their seed.

    Returns:
        The intervals, and how many resamples no standard error could be had from.
    """
    blocks: list[np.ndarray] = []
    names: list[tuple[Ranking, str]] = []
    for ranking, values in curves.items():
        blocks.append(values.circuits - values.empty)
        names += [(ranking, "")] * len(values.sizes)
        for name, area in areas_of(ranking).items() if len(values.sizes) > 1 else ():
            rows = _numerators(area, values)
            blocks.append(rows)
            names += [(ranking, name)] * len(rows)
    some = next(iter(curves.values()))
    found = ratio_intervals(np.concatenate(blocks), some.full - some.empty, iters, seed)
    result = {}
    for ranking in curves:
        points = [_bounds(found, [at]) for at, name in enumerate(names) if name == (ranking, "")]
        areas = {}
        for name in areas_of(ranking):
            rows_of = [at for at, other in enumerate(names) if other == (ranking, name)]
            if rows_of:
                areas[name] = _bounds(found, rows_of, 0.0 if len(rows_of) > 1 else -np.inf)
        result[ranking] = CurveIntervals(points, areas)
    return result, found.without_spread


def _numerators(area: Area, values: CurveValues) -> Float[np.ndarray, "choice example"]:
    """What an area is the mean of over examples, before it is divided by the gap."""
    each = np.eye(len(values.sizes))
    if area.ranking is Ranking.SIGNED:
        return (area.function(values.sizes, each) @ (values.circuits - values.empty))[None]
    weights = area.function(values.sizes, 1 - each)  # its sum runs over |1 - f|
    return sign_choices(values.full - values.circuits, values.full - values.empty, weights)


def _bounds(found: RatioIntervals, rows: list[int], least: float = -np.inf) -> Bounds:
    """The interval around those of some rows."""
    low, high = float(found.low[rows].min()), float(found.high[rows].max())
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    return max(low, least), max(high, least)
