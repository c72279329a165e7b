"""Counts of successes: tails of the binomial distribution and Wilson's interval of a share."""

from __future__ import annotations

import math

Z = 1.959963984540054  # of a two-sided 95% interval
SLACK = 1e-9  # counts are whole or half numbers


def at_least(count: float, n: int, share: float) -> float:
    """Probability of at least `count` successes in n trials.

    >>> round(at_least(9, 10, 0.5), 4), at_least(0, 10, 0.5)
    (0.0107, 1.0)
    """
    from scipy.special import bdtrc  # slow to load, and of use here alone

    least = math.ceil(count - SLACK)
    return 1.0 if least <= 0 else float(bdtrc(least - 1, n, share)) if least <= n else 0.0


def at_most(count: float, n: int, share: float) -> float:
    """Probability of at most `count` successes in n trials.

    >>> round(at_most(1, 10, 0.5), 4), at_most(10, 10, 0.5)
    (0.0107, 1.0)
    """
    from scipy.special import bdtr

    most = math.floor(count + SLACK)
    return 0.0 if most < 0 else float(bdtr(most, n, share)) if most < n else 1.0


def wilson(share: float, n: int) -> tuple[float, float]:
    """95% interval of a share of n (Wilson 1927), which holds for few and for shares near 0 and 1.

    >>> [round(end, 2) for end in wilson(1.0, 12)]
    [0.76, 1.0]
    """
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return max(0.0, middle - half), min(1.0, middle + half)
