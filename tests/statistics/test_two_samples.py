"""Differences of runs over different examples: all deals by hand, false alarms, planted differences."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from benchmarks.coverage import POPULATIONS, WORSE, samples
from harness_circuits.statistics.bootstrap import Interval
from harness_circuits.statistics.two_samples import two_sample_differences


def means(columns: np.ndarray) -> np.ndarray:
    return columns


def runs(seed: int, n: int, m: int, rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.lognormal(0, 0.8, (rows, n)), generator.lognormal(0, 0.8, (rows, m))


def test_deals_are_near_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness_circuits.statistics.two_samples.MOST_NUMBERS", 11 * 700)
    a, b = runs(0, 4, 7)
    both = np.concatenate([a, b], axis=1)
    draws = []
    for first in combinations(range(11), 4):
        other = [at for at in range(11) if at not in first]
        draws.append(both[:, other].mean(1) - both[:, list(first)].mean(1))
    spread = np.sqrt((np.array(draws) ** 2).mean(0))
    t, own = abs(np.array(draws)) / spread, abs(b.mean(1) - a.mean(1)) / spread
    found = two_sample_differences(a, b, means, 5000)
    assert [one.p for one in found] == pytest.approx((t >= own - 1e-9).mean(0), abs=0.03)
    most = int(own.argmax())
    wanted = (t.max(1) >= own[most] - 1e-9).mean()
    assert found[most].adjusted_p == pytest.approx(wanted, abs=0.03)
    assert all(one.p <= one.adjusted_p for one in found if one.p and one.adjusted_p)


def test_the_interval_of_a_difference_of_means() -> None:
    a, b = runs(1, 9, 14, rows=1)
    (found,) = two_sample_differences(a, b, means, 99)
    error = np.hypot(stats.sem(a[0]), stats.sem(b[0]))
    half = stats.t.ppf(0.975, 8) * error
    value = b.mean() - a.mean()
    estimate = found.estimate
    assert (estimate.low, estimate.high) == pytest.approx((value - half, value + half))


def test_equal_runs_and_single_examples() -> None:
    a, _ = runs(0, 9, 9)
    for one in two_sample_differences(a, a[:, ::-1], means, 99):
        assert (one.p, one.adjusted_p, one.estimate.value) == (1.0, 1.0, 0.0)
    for one in two_sample_differences(a[:, :1], a, means, 99):
        assert one.p is not None and 0 < one.p <= 1
        assert one.estimate == Interval.of(one.estimate.value, None, None)


def test_false_alarms_and_power_in_a_small_simulation() -> None:
    """Of 160 comparisons without a difference 8 are meant to be called one; 17 have a chance of 0.3%."""
    found = {0.0: 0, 5 * WORSE: 0}
    for index, population in enumerate(POPULATIONS):
        generator = np.random.default_rng([index])
        for run in range(20):
            for drop in found:
                _, new = population.draw(generator, 12, 2, drop)
                (old,) = population.draw(generator, 16)
                found[drop] += min(samples(old, new, 199, run)) <= 0.05
    assert found[0.0] <= 16
    assert found[5 * WORSE] >= 120
