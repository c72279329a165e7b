"""Bootstrap intervals over evaluation examples (Efron's percentile method).

Examples are resampled with replacement; every resample recomputes all means, then the ratio. The
same resamples serve full model, empty circuit and all sizes, so that what they share cancels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harness_circuits.errors import OptionError

_MOST_ROWS = 1000
_MOST_WEIGHTS = 2**21  # numbers per block: a few times 16 MiB


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

    >>> weights = resample_weights(n_examples=4, iters=3, seed=0)
    >>> weights.shape, weights.sum(axis=1).tolist()
    ((3, 4), [1.0, 1.0, 1.0])
    """
    blocks = list(weight_blocks(n_examples, iters, seed))
    return np.concatenate([np.empty((0, n_examples)), *blocks])


def weight_blocks(
    n_examples: int, iters: int, seed: int
) -> Iterator[Float[np.ndarray, "draw example"]]:
    """The rows of `resample_weights` in blocks of bounded size, made as they are asked for.

    Raises:
        OptionError: The number of resamples is negative.
    """
    if iters < 0:
        raise OptionError(f"bootstrap_iters is at least 0, got {iters}.")
    generator = np.random.default_rng(seed)
    rows = max(1, min(_MOST_ROWS, _MOST_WEIGHTS // n_examples))
    for first in range(0, iters, rows):
        n = min(rows, iters - first)
        draws = generator.integers(0, n_examples, size=(n, n_examples))
        draws += np.arange(n)[:, None] * n_examples
        counts = np.bincount(draws.ravel(), minlength=n * n_examples)
        yield counts.reshape(n, -1) / n_examples


def interval(value: float, draws: Float[np.ndarray, "draw"], level: float = 0.95) -> Interval:
    """Percentile interval of finite draws, widened to hold the value; that alone where there are none.

    Resamples of |1 - f| lie above its estimate where f is near 1, and those of a ratio anywhere where
    its denominator is near 0: an interval without its own estimate would be no interval of it.
    """
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Interval(float(value), float(value), float(value))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), min(float(low), value), max(float(high), value))
