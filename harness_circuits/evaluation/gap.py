"""Is there anything to be faithful to? The gap between full model and empty circuit, and its error.

Faithfulness divides by the gap, the mean over examples of m(full) - m(empty). A gap that is within
its own error, or of the wrong sign, makes a curve of noise, however healthy it looks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

from harness_circuits.errors import NumericalError
from harness_circuits.statistics.ratio import student_quantile

Values = Float[np.ndarray, "example"]
LEAST_ERRORS = 4  # standard errors that a gap is larger than, where nothing needs to be said
STILL_RIGHT = 0.9  # of the full model's right answers, where the corrupted run has that many
ROUNDING_ERRORS = 3  # a gap of fewer is not told from none


def check_gap(full: Values, empty: Values, where: str, rounding: Values | None = None) -> None:
    """Refuse a curve whose faithfulness has no denominator.

    Args:
        full: Metric of the full model.
        empty: Metric of the empty circuit.
        where: What messages call the pairs.
        rounding: Error of the difference of both that comes from the model's floating-point numbers.

    Raises:
        NumericalError: Full model and empty circuit have the same mean metric as far as these
            numbers can tell, or one is not finite.
    """
    a, b = float(full.mean()), float(empty.mean())
    if not (np.isfinite(a) and np.isfinite(b)):
        raise NumericalError(
            f"{where}: the metric is not finite (full model {a}, empty circuit {b})."
        )
    least = 1e-6 * max(abs(a), abs(b), 1e-6)
    if rounding is not None:  # of a mean over examples
        least = max(least, ROUNDING_ERRORS * float(np.sqrt((rounding**2).sum())) / len(rounding))
    if abs(a - b) <= least:
        raise NumericalError(
            f"{where}: full model and empty circuit have the same mean metric ({a:.6g}; they differ "
            f"by {abs(a - b):.1e}, and rounding alone makes {least:.1e}), so that faithfulness is "
            "undefined. The model does not do this task, or the corruption does not touch it."
        )


@dataclass(frozen=True)
class Gap:
    """The mean difference of full model and empty circuit.

    Attributes:
        value: Mean over examples of m(full) - m(empty).
        error: Its standard error; NaN for a single example.
        low: Lower end of its 95% interval (Student's t); NaN for a single example.
        high: Upper end.
    """

    value: float
    error: float
    low: float
    high: float

    @property
    def in_errors(self) -> float | None:
        """The gap in its standard errors; None for a single example, or one without any error."""
        return self.value / self.error if self.error > 0 else None

    def to_dict(self) -> dict[str, float | None]:
        """As JSON has it, which knows no NaN."""
        return {name: None if np.isnan(x) else x for name, x in asdict(self).items()}


def measure_gap(full: Values, empty: Values) -> Gap:
    """The gap with its error."""
    difference = full - empty
    n, value = len(difference), float(difference.mean())
    if n < 2:
        return Gap(value, np.nan, np.nan, np.nan)
    error = float(difference.std(ddof=1) / np.sqrt(n))
    half = student_quantile(n) * error
    return Gap(value, error, value - half, value + half)


def gap_warnings(
    full: Values, empty: Values, full_accuracy: Values, empty_accuracy: Values, where: str
) -> list[str]:
    """Warnings about a gap that says little.

    Args:
        full: Metric of the full model.
        empty: Metric of the empty circuit: everything corrupted, or ablated.
        full_accuracy: 1 where the full model's most probable choice is right.
        empty_accuracy: The same for the empty circuit.
        where: What messages call the pairs.
    """
    gap, found = measure_gap(full, empty), []
    a, b = float(full.mean()), float(empty.mean())
    shown = f"{a:.4g} of the full model and {b:.4g} of the empty circuit"
    interval = "" if np.isnan(gap.error) else f" (95% interval {gap.low:.3g} to {gap.high:.3g})"
    so = "faithfulness divides by it, so that curves and areas are mostly noise"
    if gap.value < 0:
        found.append(
            f"{where}: the metric is {shown}: with everything corrupted it is better, the gap has the "
            f"wrong sign: {gap.value:.3g}{interval}. The corruption does not hurt the task; {so}."
        )
    elif gap.value < LEAST_ERRORS * gap.error:
        within = "contains 0" if gap.low <= 0 else "is close to 0"
        found.append(
            f"{where}: the metric is {shown}, a gap of {gap.value:.3g}{interval}, which {within}: less "
            f"than {LEAST_ERRORS} standard errors; {so}. Take more pairs, or a stronger corruption."
        )
    right, still = float(full_accuracy.mean()), float(empty_accuracy.mean())
    if 0 < right * STILL_RIGHT <= still:
        how = "as" if right <= still else "nearly as"
        found.append(
            f"{where}: with everything corrupted the answer is right {how} often as in the full model "
            f"({still:.2f} and {right:.2f}): the corruption does not take away what the task needs."
        )
    return found
