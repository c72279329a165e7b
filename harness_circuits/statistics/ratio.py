"""Intervals of ratios of means: studentised bootstrap, never narrower than Student's t.

A ratio r of the means of y and g over examples has the standard error (delta method)

    se = sd(y - r g) / (sqrt(n) |mean g|),

and its interval reaches from r - se q_high to r - se q_low. The quantiles q are those of the studentised
error of resamples (Efron and Tibshirani 1993, chapter 12.5; Davison and Hinkley 1997, chapter 5.2): of
the mean of e = y - r g over its own standard error in the resample, which needs no ratio and so no
denominator in any resample. They take the skewness of few examples into account; heavy tails make them
too narrow, and so they are at least Student's. `benchmarks.coverage` measures what that covers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from harness_circuits.statistics.bootstrap import weight_blocks

LEVEL = 0.95
ROUNDING = 1e-12  # relative to what was added up: a spread below it is none


@dataclass(frozen=True)
class RatioIntervals:
    """Ratios of means with their intervals, [ratio] each.

    Attributes:
        value: The ratios.
        low: Lower ends; NaN where there is no interval: of one example, or without resamples.
        high: Upper ends.
        without_spread: Most resamples of any ratio that have no standard error, because all their
            examples are alike; the quantiles are those of the others.
    """

    value: Float[np.ndarray, "ratio"]
    low: Float[np.ndarray, "ratio"]
    high: Float[np.ndarray, "ratio"]
    without_spread: int


def student_quantile(n: int) -> float:
    """Upper quantile of Student's t for the interval of a mean of n examples."""
    from scipy.special import stdtrit  # slow to load, and of use here alone

    return float(stdtrit(n - 1, (1 + LEVEL) / 2))


def ratio_and_error(
    y: Float[np.ndarray, "ratio example"], g: Float[np.ndarray, "example"]
) -> tuple[Float[np.ndarray, "ratio"], Float[np.ndarray, "ratio"]]:
    """Ratios of the means of y to that of g, and their standard errors (NaN for one example)."""
    n = len(g)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = y.mean(1) / g.mean()
        spread = (y - value[:, None] * g).std(1)
        error = spread / np.sqrt(n - 1) / abs(g.mean())
    return value, error


def ratio_intervals(
    y: Float[np.ndarray, "ratio example"], g: Float[np.ndarray, "example"], iters: int, seed: int
) -> RatioIntervals:
    """95% intervals of the means of y over the mean of g.

    Args:
        y: Numerators per example.
        g: Denominators per example, of one mean for all ratios; ones for plain means.
        iters: Resamples.
        seed: Their seed; all ratios share them.

    Raises:
        OptionError: The number of resamples is negative.
    """
    n = len(g)
    value, error = ratio_and_error(y, g)
    if n < 2 or iters == 0 or not np.isfinite(value).all():
        none = np.full(len(y), np.nan)
        return RatioIntervals(value, none, none, 0)
    residual = y - value[:, None] * g
    scale = np.maximum(abs(y).max(1), abs(value) * abs(g).max())
    exact = residual.std(1) <= ROUNDING * scale
    t, left_out = _studentised(residual, iters, seed)
    floor = student_quantile(n)
    low = np.array([_quantile(row, (1 - LEVEL) / 2) for row in t])
    high = np.array([_quantile(row, (1 + LEVEL) / 2) for row in t])
    error = np.where(exact, 0.0, error) * np.sign(g.mean())
    ends = np.sort(
        [value - np.maximum(high, floor) * error, value - np.minimum(low, -floor) * error], 0
    )
    return RatioIntervals(value, ends[0], ends[1], int(np.where(exact, 0, left_out).max()))


def sign_choices(
    y: Float[np.ndarray, "ratio example"],
    g: Float[np.ndarray, "example"],
    weights: Float[np.ndarray, "ratio"],
) -> Float[np.ndarray, "choice example"]:
    """Numerators of a weighted sum of absolute ratios of means, for two choices of their signs.

    The first has the signs of the estimates; the second turns round those that the ratios' own errors
    leave open, as an absolute value lies above its truth where that is near 0.
    """
    value, error = ratio_and_error(y, g)
    signs = np.sign(value)
    known = np.ones(len(signs), dtype=bool)
    if len(g) > 1:
        known = abs(value) > student_quantile(len(g)) * error
    choices = np.stack([signs, np.where(known, signs, -signs)])
    return np.asarray((weights * choices) @ y)


def _studentised(
    residual: Float[np.ndarray, "ratio example"], iters: int, seed: int
) -> tuple[Float[np.ndarray, "ratio draw"], Float[np.ndarray, "ratio"]]:
    """Mean over standard error of every resample, NaN where it has none; how often that was."""
    n = residual.shape[1]
    rows: list[Float[np.ndarray, "draw ratio"]] = []
    for weights in weight_blocks(n, iters, seed):
        mean, square = weights @ residual.T, weights @ (residual**2).T
        variance = square - mean**2
        alike: Bool[np.ndarray, "draw ratio"] = variance <= ROUNDING * square
        rows.append(mean / np.sqrt(np.where(alike, np.nan, variance) / (n - 1)))
    t = np.concatenate(rows).T
    return t, np.isnan(t).sum(1)


def _quantile(draws: Float[np.ndarray, "draw"], share: float) -> float:
    draws = draws[np.isfinite(draws)]
    return float(np.quantile(draws, share)) if len(draws) else 0.0
