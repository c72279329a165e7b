"""Paired and unpaired differences, and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.curve import area_statistics, point_statistic
from harness_circuits.statistics.bootstrap import Interval
from harness_circuits.statistics.differences import (
    holm,
    iterations,
    paired_difference,
    two_sided_p,
    unpaired_difference,
)

SIZES = (0.01, 0.1, 1.0)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def plain_holm(p_values: list[float], alpha: float) -> set[int]:
    """Holm's procedure as the paper tells it: step down, stop at the first that is not rejected."""
    rejected: set[int] = set()
    left = sorted(range(len(p_values)), key=lambda at: p_values[at])
    while left and p_values[left[0]] <= alpha / len(left):
        rejected.add(left.pop(0))
    return rejected


@given(P_VALUES, st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_procedure_rejects(p: list[float], alpha: float) -> None:
    adjusted = holm(p)
    near = {at for at, value in enumerate(adjusted) if abs(value - alpha) < 1e-12}
    rejected = {at for at, value in enumerate(adjusted) if value <= alpha}
    assert rejected - near == plain_holm(p, alpha) - near


@given(P_VALUES)
def test_holm_keeps_the_order_and_never_lowers(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(0 <= a <= 1 and a >= b for a, b in zip(adjusted, p, strict=True))
    assert [adjusted[at] for at in np.argsort(p, kind="stable")] == sorted(adjusted)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_p_values_are_probabilities_and_symmetric(draws: list[float]) -> None:
    p = two_sided_p(np.array(draws))
    assert 0 < p <= 1
    assert p == two_sided_p(-np.array(draws))


def test_p_value_by_hand() -> None:
    assert two_sided_p(np.array([1.0] * 98 + [-1.0])) == pytest.approx(2 * 2 / 100)
    assert two_sided_p(np.zeros(99)) == 1.0


def test_long_tables_are_resampled_often_enough_to_find_anything() -> None:
    for rows in (1, 23, 1000, 5000):
        assert rows * 2 / (iterations(rows) + 1) < 0.05


@given(st.integers(0, 1000), st.sampled_from(Ranking))
@settings(max_examples=20)
def test_interval_and_p_value_agree_and_turn_around(seed: int, ranking: Ranking) -> None:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(0.7, 0.3, (2, 30, len(SIZES)))
    statistics = [*area_statistics(ranking, SIZES).values(), point_statistic(ranking, 1)]
    forth = paired_difference(lambda w: w @ a, lambda w: w @ b, 30, statistics, 999, seed)
    back = paired_difference(lambda w: w @ b, lambda w: w @ a, 30, statistics, 999, seed)
    for one, other in zip(forth, back, strict=True):
        assert one.p == other.p
        assert one.estimate.value == -other.estimate.value
        assert one.estimate.low == pytest.approx(-other.estimate.high)
        assert one.p is not None
        outside = one.estimate.low > 0 or one.estimate.high < 0
        assert outside == (one.p < 0.05) or abs(one.p - 0.05) < 0.005


def test_blocks_of_resamples_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.7, 0.3, (2, 30, len(SIZES)))
    run = lambda: paired_difference(  # noqa: E731
        lambda w: w @ a, lambda w: w @ b, 30, [point_statistic(Ranking.SIGNED, 0)], 4000
    )[0]
    whole = run()
    monkeypatch.setattr("harness_circuits.statistics.differences.MAX_WEIGHTS", 30 * 900)
    parts = run()
    assert parts.estimate.value == whole.estimate.value
    assert parts.estimate.low == pytest.approx(whole.estimate.low, abs=0.02)
    assert parts.p == pytest.approx(whole.p, abs=0.05)


def test_an_unpaired_difference_by_hand() -> None:
    found = unpaired_difference(Interval(0.5, 0.3, 0.7), Interval(0.9, 0.75, 1.05))
    ends = (found.estimate.value, found.estimate.low, found.estimate.high)
    assert ends == pytest.approx((0.4, 0.15, 0.65))
    assert found.p == pytest.approx(0.00171, abs=1e-5)  # 2 * (1 - Phi(1.96 * 0.4 / 0.25))


def test_without_intervals_only_equality_is_known() -> None:
    point = Interval(0.5, 0.5, 0.5)
    assert unpaired_difference(point, point).p == 1.0
    assert unpaired_difference(point, Interval(0.6, 0.6, 0.6)).p is None


@pytest.mark.parametrize("ranking", list(Ranking))
def test_noise_alone_is_found_at_the_nominal_rate(ranking: Ranking) -> None:
    """400 pairs of runs whose values are drawn alike; 5% are expected, 2.9% to 7.5% is 95% likely."""
    generator = np.random.default_rng(1)
    statistics = list(area_statistics(ranking, SIZES).values())[:1]
    found = 0
    for seed in range(400):
        a, b = generator.normal(0.7, 0.3, (2, 60, len(SIZES)))
        (result,) = paired_difference(
            lambda w, a=a: w @ a, lambda w, b=b: w @ b, 60, statistics, 999, seed
        )
        assert result.p is not None
        found += result.p <= 0.05
    assert 0.025 <= found / 400 <= 0.085
