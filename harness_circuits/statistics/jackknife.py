"""Intervals by the jackknife: what an estimate becomes without each group of examples (Tukey 1958).

With estimates t_i without group i of n, the standard error is sqrt((n - 1) / n * sum (t_i - mean)^2), and
the interval Student's with n - 1 degrees of freedom about the estimate from all groups. It serves where
an estimate is no mean of examples, as means over pairs of circuits are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from harness_circuits.statistics.ratio import student_quantile

Ends = tuple[float | None, float | None]
LEAST_GROUPS = 3  # of fewer nothing is left to compare


def jackknife_ends(value: float, without: Sequence[float] | Float[np.ndarray, "group"]) -> Ends:
    """Ends of the 95% interval of an estimate.

    Args:
        value: The estimate.
        without: What it is without each group.

    Returns:
        Both ends; None where there is no interval: of fewer than three groups, or where an estimate is
        not finite.

    >>> low, high = jackknife_ends(2.0, [2.5, 2.0, 1.5])
    >>> round(high - 2, 3) == round(2 - low, 3) == 2.484
    True
    >>> jackknife_ends(2.0, [2.5, 1.5])
    (None, None)
    """
    n = len(without)
    if n < LEAST_GROUPS or not np.isfinite([value, *without]).all():
        return None, None
    error = float(np.std(without)) * np.sqrt(n - 1)
    away = student_quantile(n) * float(error)
    return value - away, value + away


def mean_over_groups(
    name: str,
    matrix: Float[np.ndarray, "group group"],
    mean: Callable[[Float[np.ndarray, "group group"]], float],
    most: float = np.inf,
) -> dict[str, float | None]:
    """A mean over a matrix of groups by groups, with its interval over groups, as plain JSON.

    Args:
        name: What to call it.
        matrix: Something of every two groups.
        mean: Which of its entries are averaged.
        most: What it cannot exceed.
    """
    n, value = len(matrix), mean(matrix)
    enough = n >= LEAST_GROUPS
    without = [mean(_without(matrix, at)) for at in range(n)] if enough else []
    low, high = jackknife_ends(value, without)
    ends = {"low": low, "high": None if high is None else min(high, most)}
    return {name: value, **{f"{name}_ci95_{end}": at for end, at in ends.items()}}


def on_diagonal(matrix: Float[np.ndarray, "group group"]) -> float:
    """Mean of what groups have with themselves."""
    return float(np.diag(matrix).mean())


def off_diagonal(matrix: Float[np.ndarray, "group group"]) -> float:
    """Mean of what groups have with others."""
    return float(matrix[~np.eye(len(matrix), dtype=bool)].mean())


def _without(matrix: Float[np.ndarray, "group group"], at: int) -> Float[np.ndarray, "few few"]:
    return np.asarray(np.delete(np.delete(matrix, at, 0), at, 1))
