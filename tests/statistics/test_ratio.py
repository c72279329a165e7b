"""Intervals of ratios of means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness_circuits.statistics.bootstrap import resample_weights
from harness_circuits.statistics.ratio import ratio_and_error, ratio_intervals

seeds = st.integers(0, 2**32 - 1)


def values(seed: int, n: int, rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.lognormal(0, 0.8, (rows, n)), generator.normal(3, 1, n)


@given(seeds, st.integers(2, 30))
def test_intervals_hold_their_estimates_and_are_no_narrower_than_students(
    seed: int, n: int
) -> None:
    y, g = values(seed, n)
    found = ratio_intervals(y, g, 200, seed)
    _, error = ratio_and_error(y, g)
    half = stats.t.ppf(0.975, n - 1) * error
    assert np.isfinite([found.low, found.high]).all()
    assert (found.low <= found.value - half * (1 - 1e-9)).all()
    assert (found.high >= found.value + half * (1 - 1e-9)).all()


def test_a_mean_has_the_standard_error_of_a_mean() -> None:
    y, _ = values(0, 25)
    value, error = ratio_and_error(y, np.ones(25))
    np.testing.assert_allclose(value, y.mean(1))
    np.testing.assert_allclose(error, stats.sem(y, axis=1))


def test_quantiles_are_those_of_studentised_resamples_one_by_one() -> None:
    y, g = values(3, 20, rows=1)
    found = ratio_intervals(y, g, 300, 5)
    value, error = ratio_and_error(y, g)
    residual = (y - value[:, None] * g)[0]
    t = []
    for row in np.round(resample_weights(20, 300, 5) * 20).astype(int):
        drawn = np.repeat(residual, row)
        t.append(drawn.mean() / stats.sem(drawn))
    low, high = np.quantile(t, [0.025, 0.975])
    student = stats.t.ppf(0.975, 19)
    assert found.low[0] == pytest.approx(value[0] - max(high, student) * error[0])
    assert found.high[0] == pytest.approx(value[0] - min(low, -student) * error[0])


@given(seeds)
def test_a_gap_of_the_other_sign_turns_intervals_round(seed: int) -> None:
    y, g = values(seed, 12)
    one, other = ratio_intervals(y, g, 100, seed), ratio_intervals(y, -g, 100, seed)
    np.testing.assert_allclose(one.low, -other.high)
    np.testing.assert_allclose(one.high, -other.low)


def test_one_example_and_no_resamples_have_no_interval() -> None:
    y, g = values(0, 5)
    for found in (ratio_intervals(y[:, :1], g[:1], 50, 0), ratio_intervals(y, g, 0, 0)):
        assert np.isnan([found.low, found.high]).all()
        assert found.without_spread == 0


def test_no_gap_has_no_interval() -> None:
    y, _ = values(0, 6)
    found = ratio_intervals(y, np.array([1.0, -1, 1, -1, 1, -1]), 50, 0)
    assert np.isnan([found.low, found.high]).all()


def test_what_is_the_same_in_all_examples_is_exact() -> None:
    _, g = values(0, 8)
    found = ratio_intervals(np.stack([g, 0.1 * g]), g, 50, 0)
    np.testing.assert_allclose(found.low, [1, 0.1])
    np.testing.assert_allclose(found.high, [1, 0.1])
    assert found.without_spread == 0


def test_resamples_without_spread_are_counted() -> None:
    """Of two examples, half of the resamples are one of them twice."""
    y, g = values(0, 2)
    found = ratio_intervals(y, g, 1000, 0)
    assert 440 <= found.without_spread <= 560
    assert np.isfinite([found.low, found.high]).all()
    assert ratio_intervals(*values(0, 30), 1000, 0).without_spread == 0
