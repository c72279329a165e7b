"""Standard errors by half samples, of estimates that are steps of their data (McCarthy 1969).

An estimate from a random half of the groups lies about as far from that of all groups as that lies from
the truth: of a mean exactly so. What a set of best units shares with another jumps with every unit that
changes places, so that leaving out one group at a time (the jackknife) makes errors three times too
large; halves are far enough from the whole. Neither knows of the bias that few examples bring.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from harness_circuits.statistics.jackknife import Ends
from harness_circuits.statistics.ratio import student_quantile

HALVES = 32
LEAST_GROUPS = 4


def half_weights(n_groups: int, seed: int) -> Float[np.ndarray, "half group"]:
    """Which groups are in each random half, as zeros and ones; no halves of fewer than four groups.

    >>> half_weights(9, 0).sum(1).tolist() == [4.0] * 32
    True
    """
    if n_groups < LEAST_GROUPS:
        return np.empty((0, n_groups))
    generator = np.random.default_rng(seed)
    halves = [generator.permutation(n_groups) < n_groups // 2 for _ in range(HALVES)]
    return np.array(halves, dtype=float)


def half_sample_ends(
    value: float, halves: Float[np.ndarray, "half"], n_groups: int, most: float = np.inf
) -> Ends:
    """Ends of the 95% interval of an estimate.

    Args:
        value: The estimate from all groups.
        halves: Those from `half_weights`.
        n_groups: The number of groups.
        most: What it cannot exceed.

    Returns:
        Both ends; None where there are no halves.
    """
    if len(halves) < 2 or not np.isfinite(halves).all():
        return None, None
    left = n_groups - n_groups // 2  # a half has fewer by rounding, and varies the more
    error = float(halves.std(ddof=1)) * np.sqrt((n_groups // 2) / left)
    away = student_quantile(min(n_groups, HALVES)) * float(error)
    return value - away, min(value + away, most)
