"""Is a difference between two runs over different examples more than noise?

If both runs' examples were drawn from one population, and it made no difference which run they are
from, any of them might have been in either run: differences are recomputed with the examples of both
dealt out anew (Fisher 1935; Pitman 1937), one added to each count, and p-values adjusted by the
step-down maximum, as for paired runs (`differences.py`). Populations that differ, in other tasks' pairs
or only in their spread, are differences too. Intervals add the jackknife's errors of both runs, with
Student's quantile of the smaller.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from harness_circuits.statistics.bootstrap import Interval
from harness_circuits.statistics.differences import (
    MIN_ITERS,
    MOST_NUMBERS,
    Columns,
    Difference,
    Statistics,
    step_down_max,
)
from harness_circuits.statistics.ratio import ROUNDING, student_quantile


def two_sample_differences(
    old: Columns, new: Columns, statistics: Statistics, iters: int = MIN_ITERS, seed: int = 0
) -> list[Difference]:
    """Differences of statistics between two runs on examples of their own.

    Args:
        old: Values per example of the old run.
        new: The new run's, for other examples; the same columns.
        statistics: Numbers of a run, by the means of its columns.
        iters: How often examples are dealt out anew.
        seed: Their seed.
    """
    before, after = (statistics(side.mean(1)[None])[0] for side in (old, new))
    change = after - before
    change[abs(change) <= ROUNDING * (abs(before) + abs(after))] = 0.0
    both, n = np.concatenate([old, new], axis=1), old.shape[1]
    draws = []
    for dealt in _deals(both.shape[1], n, iters, seed):
        first = dealt @ both.T / n
        second = (both.sum(1) - n * first) / (both.shape[1] - n)
        with np.errstate(invalid="ignore", divide="ignore"):
            draws.append(statistics(second) - statistics(first))
    p, adjusted = step_down_max(change, np.concatenate(draws), exact=False)
    half = _half(old, new, statistics)
    return [
        Difference(Interval(float(d), float(d - h), float(d + h)), float(one), float(every))
        for d, h, one, every in zip(change, half, p, adjusted, strict=True)
    ]


def _deals(n: int, n_first: int, iters: int, seed: int) -> Iterator[Float[np.ndarray, "draw n"]]:
    """Which examples are the first run's, a row each, in blocks of bounded size."""
    generator = np.random.default_rng(seed)
    rows = max(1, MOST_NUMBERS // n)
    own = np.arange(n) < n_first
    for first in range(0, iters, rows):
        some = np.broadcast_to(own, (min(rows, iters - first), n))
        yield generator.permuted(some, axis=1).astype(float)


def _half(old: Columns, new: Columns, statistics: Statistics) -> Float[np.ndarray, "row"]:
    """Half-widths of intervals; 0 where a run has one example, or a number is not known."""
    errors = [_jackknife_error(side, statistics) for side in (old, new)]
    n = min(old.shape[1], new.shape[1])
    half = student_quantile(n) * np.hypot(*errors) if n > 1 else np.full(len(errors[0]), np.nan)
    return np.where(np.isfinite(half), half, 0.0)


def _jackknife_error(run: Columns, statistics: Statistics) -> Float[np.ndarray, "row"]:
    n = run.shape[1]
    if n < 2:
        return np.full(statistics(run.mean(1)[None]).shape[1], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = statistics((run.sum(1) - run.T) / (n - 1))
        error: np.ndarray = np.sqrt((n - 1) * left.var(0))
    return error
