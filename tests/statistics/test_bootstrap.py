"""Resampling weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.errors import OptionError
from harness_circuits.statistics import bootstrap
from harness_circuits.statistics.bootstrap import (
    Interval,
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


def test_an_interval_without_ends_is_its_estimate() -> None:
    assert Interval.of(0.5, None, None) == Interval(0.5, 0.5, 0.5)
    assert Interval.of(0.5, 0.2, 0.9) == Interval(0.5, 0.2, 0.9)


def test_a_negative_number_of_resamples_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^bootstrap_iters is at least 0, got -1\.$"):
        resample_weights(3, -1, 0)
