"""Is a difference between two runs more than noise?

*Paired*: both runs have values for the same examples. If it made no difference which run an example's
values are from, exchanging the two runs' values of any examples would change nothing: the differences
are recomputed under exchanges, all 2^n of them where there are no more than asked for, else a sample,
with one added to each count (Fisher 1935; Phipson and Smyth 2010), so that p is never 0. What makes an
example easy for both runs cancels. Many numbers of one pair of runs are looked at together: each
difference is divided by its standard deviation under the exchanges, and p-values are adjusted by the
step-down maximum of these (Westfall and Young 1993), which bounds the chance of any false finding among
them and, unlike Holm's, knows that they move together. Intervals of differences are jackknife-t (Tukey
1958): pseudo-values, Student's quantile.

*Unpaired*: examples of both runs are dealt out anew (`two_samples.py`), or only published intervals are
known. Their half-widths are taken as 1.96 standard errors of
independent normal estimates, and p-values adjusted by Holm (1979).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from harness_circuits.statistics.bootstrap import Interval
from harness_circuits.statistics.ratio import LEVEL, ROUNDING, student_quantile

MIN_ITERS = 10_000
MOST_NUMBERS = 4_000_000  # exchanged examples held at a time: 32 MB
SLACK = 1e-9  # relative; exchanges that come to the same were added up in another order

Columns = Float[np.ndarray, "column example"]
# Numbers of a run from means of its columns over examples.
Statistics = Callable[[Float[np.ndarray, "draw column"]], Float[np.ndarray, "draw row"]]


@dataclass(frozen=True)
class Difference:
    """New minus old.

    Attributes:
        estimate: The difference with its 95% interval.
        p: Probability of one at least as large if there were none; None where it is unknown.
        adjusted_p: P-value adjusted for all differences of the same two runs.
    """

    estimate: Interval
    p: float | None
    adjusted_p: float | None


def iterations(families: int) -> int:
    """Exchanges for a table of that many pairs of runs.

    The smallest p-value is 1 / (iterations + 1); times the number of families it must still be well
    below 0.05, or no finding in a long table could ever be significant.
    """
    return max(MIN_ITERS, 200 * families)


def paired_differences(
    old: Columns, new: Columns, statistics: Statistics, iters: int = MIN_ITERS, seed: int = 0
) -> list[Difference]:
    """Differences of statistics between two runs on the same examples.

    Args:
        old: Values per example of the old run.
        new: The new run's, for the same examples in the same order.
        statistics: Numbers of a run, by the means of its columns.
        iters: Exchanges; all there are, if there are no more.
        seed: Their seed.
    """
    n = old.shape[1]
    before, after = (statistics(side.mean(1)[None])[0] for side in (old, new))
    change = after - before
    change[abs(change) <= ROUNDING * (abs(before) + abs(after))] = 0.0
    exact = 2**n <= iters + 1
    turns = _all_exchanges(n) if exact else _exchanges(n, iters, seed)
    draws = np.concatenate([_exchanged(old, new, statistics, turn) for turn in turns])
    p, adjusted = step_down_max(change, draws, exact=exact)
    half = _jackknife_half(old, new, statistics)
    return [
        Difference(Interval(float(d), float(d - h), float(d + h)), float(one), float(every))
        for d, h, one, every in zip(change, half, p, adjusted, strict=True)
    ]


def _exchanged(
    old: Columns, new: Columns, statistics: Statistics, turn: Float[np.ndarray, "draw example"]
) -> Float[np.ndarray, "draw row"]:
    """Differences where examples with a 1 have changed sides."""
    n = old.shape[1]
    moved = turn @ (new - old).T / n
    with np.errstate(invalid="ignore"):
        return statistics(new.mean(1) - moved) - statistics(old.mean(1) + moved)


def _all_exchanges(n: int) -> Iterator[Float[np.ndarray, "draw example"]]:
    bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    yield bits.astype(float)


def _exchanges(n: int, iters: int, seed: int) -> Iterator[Float[np.ndarray, "draw example"]]:
    generator = np.random.default_rng(seed)
    rows = max(1, MOST_NUMBERS // n)
    for first in range(0, iters, rows):
        shape = (min(rows, iters - first), n)
        yield generator.integers(0, 2, shape, dtype=np.int8).astype(float)


def step_down_max(
    change: Float[np.ndarray, "row"], draws: Float[np.ndarray, "draw row"], *, exact: bool
) -> tuple[Float[np.ndarray, "row"], Float[np.ndarray, "row"]]:
    """P-values, and those adjusted by the step-down maximum; what is not finite counts as extreme."""
    with np.errstate(divide="ignore", invalid="ignore"):
        known = np.isfinite(draws)
        spread = np.sqrt((np.where(known, draws, 0) ** 2).sum(0) / known.sum(0))
        size = np.where(change == 0, 0.0, np.nan_to_num(abs(change) / spread, posinf=np.inf))
        draws = np.where(known, np.where(spread > 0, abs(draws) / spread, 0.0), np.inf)
    order = np.argsort(-size, kind="stable")
    largest = np.maximum.accumulate(draws[:, order[::-1]], axis=1)[:, ::-1]
    own, every = np.empty(len(size)), np.empty(len(size))
    added = 0 if exact else 1
    own[:] = ((draws >= size * (1 - SLACK)).sum(0) + added) / (len(draws) + added)
    steps = ((largest >= size[order] * (1 - SLACK)).sum(0) + added) / (len(draws) + added)
    every[order] = np.maximum.accumulate(steps)
    return own, every


def _jackknife_half(old: Columns, new: Columns, statistics: Statistics) -> Float[np.ndarray, "row"]:
    """Half-widths of jackknife-t intervals; 0 where there is none: of one example."""
    n = old.shape[1]
    if n < 2:
        return np.zeros(statistics(old.mean(1)[None]).shape[1])
    without = [(side.sum(1) - side.T) / (n - 1) for side in (old, new)]
    with np.errstate(invalid="ignore"):
        left = statistics(without[1]) - statistics(without[0])
        error = np.sqrt((n - 1) * left.var(0))
    return np.where(np.isfinite(error), student_quantile(n) * error, 0.0)


def unpaired_differences(old: Sequence[Interval], new: Sequence[Interval]) -> list[Difference]:
    """Differences of published estimates, taken as independent and normal."""
    found = [_unpaired(*sides) for sides in zip(old, new, strict=True)]
    known = [p for _, p in found if p is not None]
    adjusted = iter(holm(known))
    return [Difference(e, p, None if p is None else next(adjusted)) for e, p in found]


def _unpaired(old: Interval, new: Interval) -> tuple[Interval, float | None]:
    normal = NormalDist()
    z = normal.inv_cdf((1 + LEVEL) / 2)
    value = new.value - old.value
    half = float(np.hypot(old.high - old.low, new.high - new.low)) / 2
    if half == 0:  # published without intervals, or exact
        return Interval(value, value, value), 1.0 if value == 0 else None
    p = 2 * normal.cdf(-abs(value) * z / half)
    return Interval(value, value - half, value + half), p


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number (Holm 1979), in the given order."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()
