"""Resampling of examples with replacement (Efron 1979), and what an interval is."""

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
    """An estimate and its 95% interval; where none is known, both ends are the estimate."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, low: float | None, high: float | None) -> Interval:
        """From published numbers, whose ends are None where there is no interval."""
        return cls(value, value if low is None else low, value if high is None else high)


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
