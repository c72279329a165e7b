"""Paired and unpaired differences, and Holm's correction."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness_circuits.statistics.bootstrap import Interval
from harness_circuits.statistics.differences import (
    holm,
    iterations,
    paired_differences,
    unpaired_differences,
)

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


def test_long_tables_are_exchanged_often_enough_to_find_anything() -> None:
    for cells in (1, 23, 1000, 5000):
        assert cells / (iterations(cells) + 1) < 0.05


def runs(seed: int, n: int, rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.random.default_rng(seed).lognormal(0, 0.8, (2, rows, n))
    return a, b


def means(columns: np.ndarray) -> np.ndarray:
    return columns


def test_all_exchanges_one_by_one() -> None:
    a, b = runs(0, 7)
    draws = []
    for turn in product((False, True), repeat=7):
        draws.append(np.where(turn, a, b).mean(1) - np.where(turn, b, a).mean(1))
    t = abs(np.array(draws)) / np.std(draws, axis=0)
    own = [np.mean(t[:, at] >= t[0, at] * (1 - 1e-9)) for at in range(3)]
    found = paired_differences(a, b, means)
    assert [one.p for one in found] == pytest.approx(own)
    most = int(np.argmax(t[0]))
    assert found[most].adjusted_p == pytest.approx(np.mean(t.max(1) >= t[0, most] * (1 - 1e-9)))


@pytest.mark.parametrize("n", [3, 9, 14, 40])
def test_p_values_are_probabilities_in_order_and_turn_around(n: int) -> None:
    a, b = runs(n, n)
    forth, back = paired_differences(a, b, means, 999), paired_differences(b, a, means, 999)
    for one, other in zip(forth, back, strict=True):
        assert one.p is not None and one.adjusted_p is not None
        assert 0 < one.p <= one.adjusted_p <= 1
        assert one.p == pytest.approx(other.p or 0, abs=0.1 if n > 9 else 1e-12)
        assert one.estimate.value == pytest.approx(-other.estimate.value)
        assert one.estimate.low == pytest.approx(-other.estimate.high)
    assert (
        sorted(one.p or 0 for one in forth)
        == [one.p for one in sorted(forth, key=lambda one: one.adjusted_p or 0)]
        or len({one.adjusted_p for one in forth}) < 3
    )


def test_a_sample_of_exchanges_is_near_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = runs(1, 12)
    exact = paired_differences(a, b, means, 10_000)
    monkeypatch.setattr("harness_circuits.statistics.differences.MOST_NUMBERS", 12 * 700)
    sampled = paired_differences(a, b, means, 3000)
    for one, other in zip(exact, sampled, strict=True):
        assert one.estimate == other.estimate
        assert other.p == pytest.approx(one.p, abs=0.05)
        assert other.adjusted_p == pytest.approx(one.adjusted_p, abs=0.05)


def test_equal_runs_do_not_differ() -> None:
    a, _ = runs(0, 9)
    for one in paired_differences(a, a.copy(), means):
        assert (one.p, one.adjusted_p, one.estimate) == (1.0, 1.0, Interval(0.0, 0.0, 0.0))


def test_a_row_that_is_equal_in_both_runs_changes_nothing_of_the_others() -> None:
    a, b = runs(4, 12, rows=1)
    same = np.ones((1, 12))
    (alone,) = paired_differences(a, b + 0.5, means)
    found = paired_differences(np.vstack([a, same]), np.vstack([b + 0.5, same]), means)
    assert [one.adjusted_p for one in found] == [alone.p, 1.0]


def test_rows_that_are_one_another_cost_nothing_and_holm_would_charge_for_them() -> None:
    a, b = runs(4, 14, rows=1)
    b += 0.5
    (alone,) = paired_differences(a, b, means, 4000)
    many = paired_differences(np.repeat(a, 20, 0), np.repeat(b, 20, 0), means, 4000)
    assert {one.adjusted_p for one in many} == {alone.p}
    assert alone.p is not None and holm([alone.p] * 20)[0] == pytest.approx(min(1, 20 * alone.p))


def test_the_interval_of_a_mean_difference_is_students() -> None:
    a, b = runs(2, 15, rows=1)
    (found,) = paired_differences(a, b, means)
    expected = stats.ttest_rel(b[0], a[0]).confidence_interval()
    ends = (found.estimate.low, found.estimate.high)
    assert ends == pytest.approx((expected.low, expected.high))


def test_a_ratio_without_denominator_counts_as_extreme() -> None:
    a, b = runs(0, 8, rows=2)
    a[1], b[1] = 0.3, 0.3
    a[1, 0], b[1, 1] = -0.7, -0.7  # both on one side in half of the exchanges
    (found,) = paired_differences(
        a, b, lambda m: m[:, :1] / np.where(m[:, 1:] > 0.1, m[:, 1:], np.nan)
    )
    assert np.isfinite(found.estimate.value)
    assert found.p is not None and found.p >= 0.5


def test_an_unpaired_difference_by_hand() -> None:
    (found,) = unpaired_differences([Interval(0.5, 0.3, 0.7)], [Interval(0.9, 0.75, 1.05)])
    ends = (found.estimate.value, found.estimate.low, found.estimate.high)
    assert ends == pytest.approx((0.4, 0.15, 0.65))
    assert found.p == pytest.approx(0.00171, abs=1e-5)  # 2 * (1 - Phi(1.96 * 0.4 / 0.25))


def test_without_intervals_only_equality_is_known() -> None:
    point = Interval(0.5, 0.5, 0.5)
    same, other = unpaired_differences([point, point], [point, Interval(0.6, 0.6, 0.6)])
    assert (same.p, same.adjusted_p, other.p, other.adjusted_p) == (1.0, 1.0, None, None)


def test_unpaired_p_values_are_holms() -> None:
    old = [Interval(0.5, 0.3, 0.7)] * 3
    new = [Interval(0.9, 0.75, 1.05), Interval(0.6, 0.4, 0.8), Interval(1.2, 1.0, 1.4)]
    found = unpaired_differences(old, new)
    p_values = [one.p for one in found if one.p is not None]
    assert [one.adjusted_p for one in found] == pytest.approx(holm(p_values))
