"""Faithfulness curves and the areas that summarise them (MIB, Mueller et al. 2025, arXiv 2504.13151).

Faithfulness of a circuit C is f(C) = (m(C) - m(empty)) / (m(full) - m(empty)), where every m is the
mean over examples: a ratio of means, not a mean of ratios. Over circuit sizes k (fractions of all
units), with the trapezoid rule on the requested sizes,

    CPR = area under f(k),     CMD = area under |1 - f(k)|,

both on a linear axis from the smallest to the largest size. There, sizes of 20% and more carry 85%
of the weight; `cmd_log` is the CMD on a log axis, divided by its length, which says what a small
circuit is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harness_circuits.errors import NumericalError, OptionError

MIB_SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class CurveValues:
    """Metric values per example behind one curve.

    Attributes:
        sizes: Requested sizes, ascending.
        full: Metric of the full model on the clean prompts.
        empty: Metric of the empty circuit.
        circuits: Metric of the circuit of each size.
    """

    sizes: tuple[float, ...]
    full: Float[np.ndarray, "example"]
    empty: Float[np.ndarray, "example"]
    circuits: Float[np.ndarray, "size example"]

    def faithfulness(
        self, weights: Float[np.ndarray, "*draw example"]
    ) -> Float[np.ndarray, "*draw size"]:
        """Faithfulness per size under example weights that add up to 1."""
        full, empty = weights @ self.full, weights @ self.empty
        gap = (full - empty)[..., None]
        with np.errstate(divide="ignore", invalid="ignore"):
            result: np.ndarray = (weights @ self.circuits.T - empty[..., None]) / gap
        return result


def check_gap(
    full: Float[np.ndarray, "example"], empty: Float[np.ndarray, "example"], where: str
) -> None:
    """Refuse a curve whose faithfulness has no denominator.

    Raises:
        NumericalError: Full model and empty circuit have the same mean metric, or one is not finite.
    """
    a, b = float(full.mean()), float(empty.mean())
    if not (np.isfinite(a) and np.isfinite(b)):
        raise NumericalError(
            f"{where}: the metric is not finite (full model {a}, empty circuit {b})."
        )
    if abs(a - b) <= 1e-6 * max(abs(a), abs(b), 1e-6):
        raise NumericalError(
            f"{where}: full model and empty circuit have the same mean metric ({a:.6g}), so that "
            "faithfulness is undefined. The model does not do this task, or the corruption does not "
            "touch it."
        )


def check_sizes(sizes: tuple[float, ...]) -> None:
    """Raise `OptionError` unless sizes are ascending fractions in (0, 1]."""
    if not sizes:
        raise OptionError("sizes is empty; give fractions in (0, 1], for example sizes=0.01:0.1:1.")
    for size in sizes:
        if not isinstance(size, (int, float)) or not 0 < size <= 1:
            raise OptionError(f"sizes are fractions in (0, 1], got {size!r}.")
    if list(sizes) != sorted(set(sizes)):
        raise OptionError(f"sizes have to ascend without repetition, got {list(sizes)}.")


def cpr(sizes: tuple[float, ...], f: Float[np.ndarray, "*draw size"]) -> Float[np.ndarray, "*draw"]:
    """Circuit performance ratio: area under f; higher is better."""
    return _area(np.asarray(sizes), f)


def cmd(sizes: tuple[float, ...], f: Float[np.ndarray, "*draw size"]) -> Float[np.ndarray, "*draw"]:
    """Circuit-model distance: area under |1 - f|; lower is better, 0 is a circuit like the model."""
    return _area(np.asarray(sizes), np.abs(1 - f))


def cmd_log(
    sizes: tuple[float, ...], f: Float[np.ndarray, "*draw size"]
) -> Float[np.ndarray, "*draw"]:
    """CMD on a log axis: mean of |1 - f| over log10(size); lower is better."""
    axis = np.log10(np.asarray(sizes))
    if len(axis) == 1:
        return np.asarray(np.abs(1 - f)[..., 0])
    return np.asarray(_area(axis, np.abs(1 - f)) / (axis[-1] - axis[0]))


def _area(axis: Float[np.ndarray, "size"], y: Float[np.ndarray, "*draw size"]) -> np.ndarray:
    steps = np.diff(axis)
    result: np.ndarray = ((y[..., 1:] + y[..., :-1]) / 2 * steps).sum(-1)
    return result
