"""Area under the accuracy of circuits, on a log axis: what small circuits are worth to a user.

The mean of accuracy over log10(size), as published with MAttr (arXiv 2609.25518) for the signed
ranking. It asks for right answers alone: CPR grows with every circuit that exaggerates, this does not.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from harness_circuits.evaluation.curve import cmd_log
from harness_circuits.statistics.binomial import wilson
from harness_circuits.statistics.bootstrap import Interval
from harness_circuits.statistics.ratio import ratio_and_error, student_quantile

ALIKE = 1e-12  # spread of means of zeros and ones that is rounding alone


def log_mean(
    sizes: tuple[float, ...], y: Float[np.ndarray, "*draw size"]
) -> Float[np.ndarray, "*draw"]:
    """Mean of y over log10(size): what `cmd_log` is of |1 - f|, for y that is never above 1."""
    return cmd_log(sizes, 1 - y)


def accuracy_area(
    sizes: tuple[float, ...], hits: Float[np.ndarray, "example size"]
) -> tuple[float, tuple[float, float] | None]:
    """Accuracy area with its 95% interval, Student's: resamples of few hits have next to no spread.

    Where examples are all alike, which says little of few of them, it is Wilson's of a share, which is
    wider than that of any mean of numbers from 0 to 1.

    Args:
        sizes: Requested sizes, ascending fractions of all units.
        hits: 1 where a circuit's most probable choice is correct, else 0.

    Returns:
        The area, from 0 to 1, higher is better; and its interval, None for a single example.

    >>> area, (low, high) = accuracy_area((0.01, 0.1, 1.0), np.array([[0.0, 1.0, 1.0]] * 20))
    >>> area, round(low, 2), round(high, 2)
    (0.75, 0.53, 0.89)
    """
    value = float(log_mean(sizes, hits.mean(0)))
    if len(hits) < 2:
        return value, None
    each = log_mean(sizes, hits)
    if np.ptp(each) < ALIKE:
        return value, wilson(min(max(value, 0.0), 1.0), len(hits))
    (error,) = ratio_and_error(each[None], np.ones(len(hits)))[1]
    half = student_quantile(len(hits)) * float(error)
    return value, (max(value - half, 0.0), min(value + half, 1.0))


def accuracy_interval(
    sizes: tuple[float, ...], hits: Float[np.ndarray, "example size"]
) -> Interval:
    """The same as an `Interval`."""
    value, bounds = accuracy_area(sizes, hits)
    return Interval.of(value, *(bounds or (None, None)))
