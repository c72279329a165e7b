"""Are two measurements of the same examples independent? HSIC with a permutation test.

The Hilbert-Schmidt independence criterion (Gretton et al. 2005) of n pairs (x, y) is
tr(K H L H) / (n - 1)^2, with Gaussian kernels K of x and L of y and H = I - 1/n. It is 0, for ever more
examples, exactly if x and y are independent. The bandwidth of each kernel is the median distance of its
own variable. Under independence any order of y is as likely: p = (1 + #{HSIC of permuted y >= HSIC})
/ (1 + permutations).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from harness_circuits.statistics.jackknife import LEAST_GROUPS, Ends, jackknife_ends

PERMUTATIONS = 1000
SLACK = 1e-9  # relative; permutations that come to the same were added up in another order


def hsic_test(
    x: Float[np.ndarray, "example"],
    y: Float[np.ndarray, "example"],
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[float, float]:
    """HSIC of two variables and its permutation p-value.

    Args:
        x: One variable.
        y: The other, of the same examples in the same order.
        permutations: Random orders of y.
        seed: Their seed.

    Returns:
        HSIC (0 where a variable does not vary) and p, never 0; small p: not independent.

    >>> x = np.arange(40.0)
    >>> hsic_test(x, x**2)[1] < 0.01
    True
    >>> hsic_test(x, np.ones(40))
    (0.0, 1.0)
    """
    n = len(x)
    centred, other = _centred(_kernel(x)), _kernel(y)
    scale = max(1, n - 1) ** 2
    found = float((centred * other).sum()) / scale
    if n < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0, 1.0
    generator = np.random.default_rng(seed)
    as_large = 0
    for _ in range(permutations):
        order = generator.permutation(n)
        drawn = float((centred * other[np.ix_(order, order)]).sum()) / scale
        as_large += drawn >= found - SLACK * abs(found)
    return found, (1 + as_large) / (1 + permutations)


def hsic_ends(x: Float[np.ndarray, "example"], y: Float[np.ndarray, "example"]) -> Ends:
    """Ends of the 95% interval of HSIC, by the jackknife with the bandwidths of all examples.

    HSIC is not negative, nor is its interval; near independence it covers more than it says.

    Args:
        x: One variable.
        y: The other, of the same examples in the same order.

    Returns:
        Both ends; None where there is no interval: of fewer than three examples, or where a variable
        does not vary.
    """
    n = len(x)
    if n < LEAST_GROUPS or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None, None
    k, other = _kernel(x), _kernel(y)
    value = float((_centred(k) * other).sum()) / (n - 1) ** 2
    low, high = jackknife_ends(value, _without_each(k, other))
    return None if low is None else max(low, 0.0), high


def _without_each(
    k: Float[np.ndarray, "example example"], other: Float[np.ndarray, "example example"]
) -> Float[np.ndarray, "example"]:
    """HSIC without each example, from sums of the kernels of all."""
    n = len(k) - 1
    rows, columns, own = k.sum(0), other.sum(0), np.diag(k) * np.diag(other)
    both = (k * other).sum() - 2 * (k * other).sum(0) + own
    between = ((rows[:, None] - k) * (columns[:, None] - other)).sum(0)
    between -= (rows - np.diag(k)) * (columns - np.diag(other))
    totals = [m.sum() - 2 * m.sum(0) + np.diag(m) for m in (k, other)]
    found: np.ndarray = (both - 2 * between / n + totals[0] * totals[1] / n**2) / (n - 1) ** 2
    return found


def _kernel(x: Float[np.ndarray, "example"]) -> Float[np.ndarray, "example example"]:
    """Gaussian kernel; its bandwidth is the median distance, or the mean where most are ties."""
    distance = abs(x[:, None] - x[None, :])
    others = distance[np.triu_indices(len(x), 1)]
    width = float(np.median(others)) if len(others) else 0.0
    width = width or float(others.mean() if len(others) else 0.0) or 1.0
    kernel: np.ndarray = np.exp(-(distance**2) / (2 * width**2))
    return kernel


def _centred(kernel: Float[np.ndarray, "example example"]) -> Float[np.ndarray, "example example"]:
    """H K H."""
    rows = kernel.mean(0)
    centred: np.ndarray = kernel - rows[None, :] - rows[:, None] + rows.mean()
    return centred
