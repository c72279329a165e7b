"""Is a difference between two runs more than noise?

*Paired*: both runs have values for the same examples. Examples are resampled with replacement, the
same ones for both runs, and the difference is recomputed from the means of each resample (Efron's
percentile bootstrap), so that what makes an example easy for both runs cancels. The p-value inverts
the interval: twice the smaller share of resampled differences on either side of zero, with one
added to each count (Davison and Hinkley 1997, section 4.2), so it is never 0.

*Unpaired*: only published intervals are known. Their half-widths are taken as 1.96 standard errors of
independent normal estimates.

Many differences are looked at together: p-values are adjusted by Holm (1979), which bounds the chance
of any false finding in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from harness_circuits.statistics.bootstrap import Interval, interval, resample_weights

LEVEL = 0.95
MIN_ITERS = 10_000
MAX_WEIGHTS = 20_000_000  # resampling weights held at a time: 160 MB

# A curve under example weights [draw, example] -> [draw, size]; one number of curves [draw, size].
WeightedCurve = Callable[[Float[np.ndarray, "draw example"]], Float[np.ndarray, "draw size"]]
Statistic = Callable[[Float[np.ndarray, "draw size"]], Float[np.ndarray, "draw"]]


@dataclass(frozen=True)
class Difference:
    """New minus old.

    Attributes:
        estimate: The difference with its 95% interval.
        p: Probability of one at least as large if there were none; None where it is unknown.
    """

    estimate: Interval
    p: float | None


def iterations(rows: int) -> int:
    """Resamples for a table of that many rows.

    The smallest p-value is 2 / (iterations + 1); after Holm's correction it must still be well
    below 0.05, or no finding in a long table could ever be significant.
    """
    return max(MIN_ITERS, 200 * rows)


def paired_difference(
    old: WeightedCurve,
    new: WeightedCurve,
    n_examples: int,
    statistics: Sequence[Statistic],
    iters: int = MIN_ITERS,
    seed: int = 0,
) -> list[Difference]:
    """Differences of statistics between two runs on the same examples.

    Args:
        old: The old run's curve under example weights, such as `CurveValues.faithfulness`.
        new: The new run's, for the same examples in the same order.
        n_examples: Their number.
        statistics: Numbers of a curve.
        iters: Resamples.
        seed: Their seed.
    """

    def differences(weights: np.ndarray) -> Float[np.ndarray, "statistic draw"]:
        before, after = old(weights), new(weights)
        return np.array([f(after) - f(before) for f in statistics])

    estimates = differences(np.full((1, n_examples), 1 / n_examples))[:, 0]
    block = max(1, MAX_WEIGHTS // n_examples)
    blocks = enumerate(range(0, iters, block), start=seed)
    draws = np.concatenate(
        [
            differences(_weights(n_examples, min(block, iters - first), key))
            for key, first in blocks
        ],
        axis=1,
    )
    return [
        Difference(interval(value, row, LEVEL), two_sided_p(row))
        for value, row in zip(estimates, draws, strict=True)
    ]


@lru_cache(maxsize=2)  # a table compares many runs on the same examples
def _weights(n_examples: int, iters: int, seed: int) -> Float[np.ndarray, "draw example"]:
    return resample_weights(n_examples, iters, seed)


def two_sided_p(draws: Float[np.ndarray, "draw"]) -> float:
    """P-value of a difference of zero, from resampled differences."""
    draws = draws[np.isfinite(draws)]
    tail = min((draws <= 0).sum(), (draws >= 0).sum())
    return min(1.0, float(2 * (tail + 1) / (len(draws) + 1)))


def unpaired_difference(old: Interval, new: Interval) -> Difference:
    """Difference of two published estimates, taken as independent and normal."""
    normal = NormalDist()
    z = normal.inv_cdf((1 + LEVEL) / 2)
    value = new.value - old.value
    half = float(np.hypot(old.high - old.low, new.high - new.low)) / 2
    if half == 0:  # published without resampling, or exact
        return Difference(Interval(value, value, value), 1.0 if value == 0 else None)
    p = 2 * normal.cdf(-abs(value) * z / half)
    return Difference(Interval(value, value - half, value + half), p)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979), in the given order."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()
