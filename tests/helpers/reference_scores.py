"""Scores of path methods by the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from helpers.reference import gate_gradient
from helpers.reference_cases import (
    Case,
)

from harness_circuits.attribution import Job, attribute
from harness_circuits.metrics.metrics import METRICS

LOGIT_DIFF = METRICS.get("logit_diff")


RULES = {  # (alpha, weight), written out for three steps
    "left": [(0, 1 / 3), (1 / 3, 1 / 3), (2 / 3, 1 / 3)],
    "midpoint": [(1 / 6, 1 / 3), (1 / 2, 1 / 3), (5 / 6, 1 / 3)],
    "right": [(1 / 3, 1 / 3), (2 / 3, 1 / 3), (1, 1 / 3)],
    "gausslegendre": [(0.5 - 0.15**0.5, 5 / 18), (0.5, 8 / 18), (0.5 + 0.15**0.5, 5 / 18)],
}


def scores(case: Case, method: str, level: str, ablation: str, **options: Any) -> np.ndarray:
    job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))  # type: ignore[arg-type]
    return attribute(job, method, **options).values


def expected(case: Case, level: str, ablation: str, alpha: float = 1.0) -> np.ndarray:
    return case.brute_force(gate_gradient, level, ablation, alpha=alpha)


def assert_same(got: np.ndarray, wanted: np.ndarray, tolerance: float = 1e-10) -> None:
    assert got.shape == wanted.shape
    assert np.abs(wanted).max() > 1e-3, "nothing to compare"
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
