"""Intervals of means over pairs of groups, against sums by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from harness_circuits.statistics.jackknife import (
    jackknife_ends,
    mean_over_groups,
    off_diagonal,
    on_diagonal,
)


def test_of_a_mean_it_is_student_s() -> None:
    values = np.random.default_rng(0).normal(2, 3, 9)
    found = mean_over_groups("x", np.diag(values), on_diagonal)
    away = student.ppf(0.975, 8) * values.std(ddof=1) / 3
    assert found["x"] == pytest.approx(values.mean())
    assert found["x_ci95_low"] == pytest.approx(values.mean() - away)
    assert found["x_ci95_high"] == pytest.approx(values.mean() + away)


def test_each_group_is_left_out_with_all_it_has() -> None:
    matrix = np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.9], [0.4, 0.9, 1.0]])
    found = mean_over_groups("x", matrix, off_diagonal, most=0.7)
    without = np.array([0.9, 0.4, 0.2])
    error = np.sqrt(2 / 3 * ((without - 0.5) ** 2).sum())
    assert found["x"] == pytest.approx(0.5)
    assert found["x_ci95_low"] == pytest.approx(0.5 - student.ppf(0.975, 2) * error)
    assert found["x_ci95_high"] == 0.7
    few = mean_over_groups("x", matrix[:2, :2], off_diagonal)
    assert few == {"x": 0.2, "x_ci95_low": None, "x_ci95_high": None}
    assert jackknife_ends(0.0, [0.0, np.nan, 1.0]) == (None, None)


def test_intervals_over_templates_cover() -> None:
    """Overlaps of eight templates, each of which is more or less like all others."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        own, noise = generator.normal(0, 0.1, 8), generator.normal(0, 0.05, (8, 8))
        overlaps = 0.4 + own[:, None] + own + (noise + noise.T) / 2
        found = mean_over_groups("x", overlaps, off_diagonal)
        assert found["x_ci95_low"] is not None and found["x_ci95_high"] is not None
        held += found["x_ci95_low"] <= 0.4 <= found["x_ci95_high"]
    assert 0.92 <= held / 400 <= 0.98
