"""Faithfulness curves and the areas that summarise them (MIB, Mueller et al. 2025, arXiv 2504.13151).

Faithfulness of a circuit C is f(C) = (m(C) - m(empty)) / (m(full) - m(empty)), where every m is the
mean over examples: a ratio of means, not a mean of ratios. Over circuit sizes k (fractions of all
units), with the trapezoid rule on the requested sizes,

    CPR = area under f(k),     CMD = area under |1 - f(k)|,

both on a linear axis from the smallest to the largest size. There, sizes of 20% and more carry 85%
of the weight; `cmd_log` is the CMD on a log axis, divided by its length, which says what a small
circuit is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from harness_circuits.circuits.ranking import Ranking

# One number of curves [draw, size].
Statistic = Callable[[Float[np.ndarray, "draw size"]], Float[np.ndarray, "draw"]]


@dataclass(frozen=True)
class CurveValues:
    """Metric values per example behind one curve.

    Attributes:
        sizes: Requested sizes, ascending.
        full: Metric of the full model on the clean prompts.
        empty: Metric of the empty circuit.
        circuits: Metric of the circuit of each size.
    """

    sizes: tuple[float, ...]
    full: Float[np.ndarray, "example"]
    empty: Float[np.ndarray, "example"]
    circuits: Float[np.ndarray, "size example"]

    def faithfulness(
        self, weights: Float[np.ndarray, "*draw example"]
    ) -> Float[np.ndarray, "*draw size"]:
        """Faithfulness per size under example weights that add up to 1: a ratio of means.

        >>> values = CurveValues(
        ...     sizes=(0.1, 1.0),
        ...     full=np.array([2.0, 4.0]),
        ...     empty=np.array([0.0, 0.0]),
        ...     circuits=np.array([[1.0, 0.5], [2.0, 4.0]]),
        ... )
        >>> values.faithfulness(np.array([0.5, 0.5])).tolist()
        [0.25, 1.0]
        """
        full, empty = (weights @ self.full)[..., None], (weights @ self.empty)[..., None]
        return faithfulness(weights @ self.circuits.T, full, empty)


def faithfulness(
    metric: Float[np.ndarray, "*points"],
    full: Float[np.ndarray, "*#points"] | np.floating[Any],
    empty: Float[np.ndarray, "*#points"] | np.floating[Any],
) -> Float[np.ndarray, "*points"]:
    """Faithfulness (m(C) - m(empty)) / (m(full) - m(empty)), from means over examples.

    Args:
        metric: Mean metric m(C) of circuits.
        full: That of the full model.
        empty: That of the empty circuit.

    Returns:
        1 for a circuit like the model, 0 for one like the empty circuit; not finite where the two
        are alike.

    >>> faithfulness(np.array([1.0, 2.5, 3.0, 4.0]), np.float64(3.0), np.float64(1.0)).tolist()
    [0.0, 0.75, 1.0, 1.5]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        result: np.ndarray = (metric - empty) / (full - empty)
    return result


def cpr(sizes: tuple[float, ...], f: Float[np.ndarray, "*draw size"]) -> Float[np.ndarray, "*draw"]:
    """Circuit performance ratio: area under f; higher is better.

    >>> round(float(cpr((0.1, 0.5, 1.0), np.array([0.2, 0.8, 1.0]))), 3)
    0.65
    """
    return _area(np.asarray(sizes), f)


def cmd(sizes: tuple[float, ...], f: Float[np.ndarray, "*draw size"]) -> Float[np.ndarray, "*draw"]:
    """Circuit-model distance: area under |1 - f|; lower is better, 0 is a circuit like the model.

    >>> round(float(cmd((0.1, 0.5, 1.0), np.array([0.2, 0.8, 1.0]))), 3)
    0.25
    >>> round(float(cmd((0.1, 0.5, 1.0), np.array([1.8, 1.2, 1.0]))), 3)  # beyond 1 is as far off
    0.25
    """
    return _area(np.asarray(sizes), np.abs(1 - f))


def cmd_log(
    sizes: tuple[float, ...], f: Float[np.ndarray, "*draw size"]
) -> Float[np.ndarray, "*draw"]:
    """CMD on a log axis: mean of |1 - f| over log10(size); lower is better.

    >>> round(float(cmd_log((0.01, 0.1, 1.0), np.array([0.0, 0.5, 1.0]))), 3)
    0.5
    """
    axis = np.log10(np.asarray(sizes))
    if len(axis) == 1:
        return np.asarray(np.abs(1 - f)[..., 0])
    return np.asarray(_area(axis, np.abs(1 - f)) / (axis[-1] - axis[0]))


def _area(axis: Float[np.ndarray, "size"], y: Float[np.ndarray, "*draw size"]) -> np.ndarray:
    steps = np.diff(axis)
    result: np.ndarray = ((y[..., 1:] + y[..., :-1]) / 2 * steps).sum(-1)
    return result


@dataclass(frozen=True)
class Area:
    """One number for a whole curve.

    Attributes:
        name: As in metric names.
        title: What people read.
        about: One sentence of definition.
        ranking: Ranking whose curve it is taken from.
        function: From sizes and faithfulness [draw, size] to the area of each draw.
    """

    name: str
    title: str
    about: str
    ranking: Ranking
    function: Callable[
        [tuple[float, ...], Float[np.ndarray, "*draw size"]], Float[np.ndarray, "*draw"]
    ]

    @property
    def higher_is_better(self) -> bool:
        """Direction: that of what the ranking's circuits are judged by."""
        return self.ranking.higher_is_better


AREAS = {
    area.name: area
    for area in (
        Area("cpr", "CPR", "Area under faithfulness, by signed score (MIB).", Ranking.SIGNED, cpr),
        Area(
            "cmd", "CMD", "Area under |1 - faithfulness|, by |score| (MIB).", Ranking.ABSOLUTE, cmd
        ),
        Area(
            "cmd_log",
            "log-axis CMD",
            "Mean of |1 - faithfulness| over the logarithm of the size, by |score|: what small "
            "circuits are worth.",
            Ranking.ABSOLUTE,
            cmd_log,
        ),
    )
}


def areas_of(ranking: Ranking) -> dict[str, Area]:
    """The areas that are taken from a ranking's curve, by name."""
    return {name: area for name, area in AREAS.items() if area.ranking is ranking}


def area_statistics(ranking: Ranking, sizes: tuple[float, ...]) -> dict[str, Statistic]:
    """A ranking's areas as statistics of curves over given sizes, by name."""
    return {name: partial(area.function, sizes) for name, area in areas_of(ranking).items()}


def point_statistic(ranking: Ranking, at: int) -> Statistic:
    """One point of a curve, as the ranking's areas count it."""

    def point(f: Float[np.ndarray, "draw size"]) -> Float[np.ndarray, "draw"]:
        return ranking.judged(f[:, at])

    return point


def columns(curves: Sequence[CurveValues]) -> Float[np.ndarray, "column example"]:
    """What curves of one run are made of, in the order that `curve_statistics` reads."""
    rows = [curves[0].full, curves[0].empty, *(curve.circuits for curve in curves)]
    return np.vstack(rows)


def curve_statistics(
    sizes: Sequence[tuple[float, ...]], statistics: Sequence[tuple[int, Statistic]]
) -> Callable[[Float[np.ndarray, "draw column"]], Float[np.ndarray, "draw row"]]:
    """Statistics of curves as functions of the means of `columns`.

    Args:
        sizes: Of each curve.
        statistics: Each with the number of the curve it is taken from.
    """
    ends = np.cumsum([2, *map(len, sizes)])

    def of_means(means: Float[np.ndarray, "draw column"]) -> Float[np.ndarray, "draw row"]:
        full, empty = means[:, :1], means[:, 1:2]
        curves = [faithfulness(means[:, start:end], full, empty) for start, end in pairwise(ends)]
        return np.stack([statistic(curves[at]) for at, statistic in statistics], axis=1)

    return of_means
