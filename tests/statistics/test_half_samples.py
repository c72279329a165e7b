"""Standard errors by half samples: of means by hand, of overlaps by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from harness_circuits.statistics.half_samples import HALVES, half_sample_ends, half_weights
from harness_circuits.statistics.jackknife import jackknife_ends


def test_halves_are_random_halves() -> None:
    weights = half_weights(12, 3)
    assert weights.shape == (HALVES, 12) and (weights.sum(1) == 6).all()
    assert np.array_equal(weights, half_weights(12, 3)) and len(np.unique(weights, axis=0)) > 20
    assert not np.array_equal(weights, half_weights(12, 4))
    assert not len(half_weights(3, 0)) and half_sample_ends(0.5, np.array([]), 3) == (None, None)
    assert half_sample_ends(0.5, np.array([0.1, np.nan]), 8) == (None, None)


@pytest.mark.parametrize("n", [8, 9, 31])
def test_of_means_the_error_is_that_of_the_mean(n: int) -> None:
    """Over all seeds together: an odd group is left out of every half, and allowed for."""
    values = np.random.default_rng(n).normal(0, 1, n)
    found = []
    for seed in range(60):
        halves = half_weights(n, seed) @ values / (n // 2)
        low, high = half_sample_ends(float(values.mean()), halves, n)
        assert low is not None and high is not None
        found.append((high - low) / 2)
    away = student.ppf(0.975, min(n, HALVES) - 1) * values.std(ddof=1) / np.sqrt(n)
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(away, rel=0.06)


def test_overlaps_of_best_units_are_covered_where_the_jackknife_is_far_too_wide() -> None:
    """What circuits discovered on so many pairs share; two scores of each unit, 24 groups of pairs."""
    generator = np.random.default_rng(0)
    n, best, groups = 600, 60, 24
    effects = generator.normal(0, 1, n) * generator.exponential(1, n) ** 3
    others = effects * generator.lognormal(0, 0.5, n)
    spread = 0.6 + 2 * abs(effects)

    def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        sets = []
        for sums in (one, other):
            kept = np.zeros(sums.shape, dtype=bool)
            np.put_along_axis(kept, np.argsort(-abs(sums), -1)[..., :best], True, -1)
            sets.append(kept)
        common = (sets[0] & sets[1]).sum(-1)
        return np.asarray(common / (2 * best - common))

    values, ends, wide = [], [], []
    for seed in range(150):
        noise = generator.normal(0, 1, (groups, n))
        one = effects + spread * noise
        other = others + spread * (0.5 * noise + generator.normal(0, 0.8, (groups, n)))
        values.append(float(overlap(one.sum(0), other.sum(0))))
        rows = half_weights(groups, seed)
        ends.append(half_sample_ends(values[-1], overlap(rows @ one, rows @ other), groups, 1.0))
        without = overlap(one.sum(0) - one, other.sum(0) - other)
        wide.append(jackknife_ends(values[-1], without))
    truth = float(np.mean(values))
    held = np.mean([low <= truth <= high for low, high in ends])  # type: ignore[operator]
    assert 0.88 <= held <= 0.99
    widths = [np.mean([high - low for low, high in each]) for each in (ends, wide)]  # type: ignore[operator]
    assert widths[1] > 1.5 * widths[0]
