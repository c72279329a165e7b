"""Bootstrap intervals over evaluation examples (Efron's percentile method).

Examples are resampled with replacement; every resample recomputes all means, then the ratio. The
same resamples serve full model, empty circuit and all sizes, so that what they share cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harness_circuits.errors import OptionError

_BLOCK = 1000


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95% interval."""

    value: float
    low: float
    high: float


def resample_weights(n_examples: int, iters: int, seed: int) -> Float[np.ndarray, "draw example"]:
    """Weights of each example in each resample; every row adds up to 1.

    Raises:
        OptionError: The number of resamples is negative.
    """
    if iters < 0:
        raise OptionError(f"bootstrap_iters is at least 0, got {iters}.")
    generator = np.random.default_rng(seed)
    weights = np.empty((iters, n_examples), dtype=np.float64)
    for first in range(0, iters, _BLOCK):
        n = min(_BLOCK, iters - first)
        draws = generator.integers(0, n_examples, size=(n, n_examples))
        flat = (draws + np.arange(n)[:, None] * n_examples).ravel()
        weights[first : first + n] = np.bincount(flat, minlength=n * n_examples).reshape(n, -1)
    return weights / n_examples


def interval(value: float, draws: Float[np.ndarray, "draw"], level: float = 0.95) -> Interval:
    """Percentile interval of finite draws; the value itself where there are none."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Interval(float(value), float(value), float(value))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high))
