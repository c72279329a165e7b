"""Resampling weights and percentile intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.errors import OptionError
from harness_circuits.statistics import bootstrap
from harness_circuits.statistics.bootstrap import (
    Interval,
    interval,
    resample_weights,
    weight_blocks,
)

seeds = st.integers(0, 2**32 - 1)


@given(st.integers(1, 20), st.integers(0, 50), seeds)
def test_rows_are_means_of_as_many_draws_as_examples(n: int, iters: int, seed: int) -> None:
    weights = resample_weights(n, iters, seed)
    assert weights.shape == (iters, n)
    np.testing.assert_allclose(weights.sum(1), 1)
    counts = weights * n
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    assert (counts >= 0).all()


@given(st.integers(1, 20), seeds)
def test_the_seed_decides(n: int, seed: int) -> None:
    np.testing.assert_array_equal(resample_weights(n, 9, seed), resample_weights(n, 9, seed))


def test_seeds_differ_and_fewer_resamples_are_the_first() -> None:
    assert (resample_weights(5, 20, 0) != resample_weights(5, 20, 1)).any()
    more = resample_weights(5, 1000, 0)
    np.testing.assert_array_equal(resample_weights(5, 2500, 0)[:1000], more)


@pytest.mark.parametrize("most", [1, 7, 40, 10_000])
def test_the_size_of_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    expected = resample_weights(7, 23, 5)
    monkeypatch.setattr(bootstrap, "_MOST_WEIGHTS", most)
    np.testing.assert_array_equal(resample_weights(7, 23, 5), expected)


def test_blocks_are_small_for_many_examples() -> None:
    blocks = weight_blocks(1_000_000, 10_000, 0)
    assert next(blocks).nbytes < 32 * 2**20


def test_resamples_behave_like_a_multinomial() -> None:
    n, iters = 6, 20_000
    counts = resample_weights(n, iters, 7) * n
    error = 5 * np.sqrt((1 - 1 / n) / iters)
    np.testing.assert_allclose(counts.mean(0), 1, atol=error)
    covariance = np.cov(counts.T)
    np.testing.assert_allclose(covariance, np.eye(n) - 1 / n, atol=0.05)


def test_the_interval_is_that_of_a_textbook_bootstrap() -> None:
    data = np.random.default_rng(0).standard_normal(200) + 3
    draws = resample_weights(200, 4000, 1) @ data
    found = interval(float(data.mean()), draws)
    half = 1.96 * data.std() / np.sqrt(200)
    assert found.low == pytest.approx(data.mean() - half, abs=0.02)
    assert found.high == pytest.approx(data.mean() + half, abs=0.02)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12), seeds)
def test_symmetric_data_lie_around_their_estimate(half: list[float], seed: int) -> None:
    data = np.array([*half, *(-x for x in half)])
    found = interval(0.0, resample_weights(len(data), 400, seed) @ data)
    assert found.low <= 0 <= found.high


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(0.1, 0.99))
def test_interval_covers_the_share_of_draws_it_says(draws: list[float], level: float) -> None:
    found = interval(1.5, np.array(draws), level)
    assert found.value == 1.5
    assert min(*draws, 1.5) <= found.low <= 1.5 <= found.high <= max(*draws, 1.5)
    inside = np.mean([found.low - 1e-9 <= x <= found.high + 1e-9 for x in draws])
    assert inside >= level - 2 / len(draws)


@given(st.floats(-5, 5), st.integers(1, 5), seeds)
def test_constant_data_and_one_example_have_no_width(value: float, n: int, seed: int) -> None:
    draws = resample_weights(n, 50, seed) @ np.full(n, value)
    found = interval(value, draws)
    assert found.low == pytest.approx(value)
    assert found.high == pytest.approx(value)
    np.testing.assert_array_equal(resample_weights(1, 7, seed), np.ones((7, 1)))


def test_no_resamples_leave_the_estimate_alone() -> None:
    assert interval(0.5, np.empty(0)) == Interval(0.5, 0.5, 0.5)


def test_draws_without_a_denominator_are_left_out() -> None:
    draws = np.array([np.nan, 1.0, np.inf, 2.0, 3.0])
    assert interval(2.0, draws) == interval(2.0, np.array([1.0, 2.0, 3.0]))
    assert interval(2.0, np.array([np.nan])) == Interval(2.0, 2.0, 2.0)


def test_a_negative_number_of_resamples_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^bootstrap_iters is at least 0, got -1\.$"):
        resample_weights(3, -1, 0)


def test_an_interval_holds_its_own_estimate() -> None:
    draws = np.linspace(0.2, 0.3, 101)
    assert interval(0.1, draws).low == 0.1 and interval(0.5, draws).high == 0.5
    inside = interval(0.25, draws)
    assert (inside.low, inside.high) == pytest.approx((0.2025, 0.2975))
