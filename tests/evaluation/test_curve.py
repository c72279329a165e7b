"""Faithfulness and the areas CPR, CMD and cmd_log, against sums written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.sizes import MIB_SIZES, check_sizes
from harness_circuits.errors import OptionError
from harness_circuits.evaluation.curve import (
    CurveValues,
    cmd,
    cmd_log,
    cpr,
)

values = st.floats(-3, 3)
curves = st.lists(
    st.tuples(st.integers(1, 1000), values), min_size=2, max_size=8, unique_by=lambda p: p[0]
)


def trapezoid(axis: list[float], y: list[float]) -> float:
    return sum((axis[at + 1] - axis[at]) * (y[at] + y[at + 1]) / 2 for at in range(len(axis) - 1))


def test_areas_by_hand() -> None:
    sizes, f = (0.1, 0.5, 1.0), np.array([0.2, 0.6, 1.2])
    assert cpr(sizes, f) == pytest.approx(0.4 * 0.4 + 0.5 * 0.9)
    assert cmd(sizes, f) == pytest.approx(0.4 * 0.6 + 0.5 * 0.3)
    first, second = np.log10(5), np.log10(2)
    assert cmd_log(sizes, f) == pytest.approx(first * 0.6 + second * 0.3)  # the axis has length 1


@given(curves)
def test_areas_are_trapezoids(points: list[tuple[int, float]]) -> None:
    points = sorted(points)
    sizes = tuple(at / 1000 for at, _ in points)
    f = [y for _, y in points]
    distance = [abs(1 - y) for y in f]
    logs = [float(np.log10(size)) for size in sizes]
    assert cpr(sizes, np.array(f)) == pytest.approx(trapezoid(list(sizes), f))
    assert cmd(sizes, np.array(f)) == pytest.approx(trapezoid(list(sizes), distance))
    mean = trapezoid(logs, distance) / (logs[-1] - logs[0])
    assert cmd_log(sizes, np.array(f)) == pytest.approx(mean)


@given(curves, st.integers(1, 4))
def test_draws_are_integrated_one_by_one(points: list[tuple[int, float]], n: int) -> None:
    points = sorted(points)
    sizes = tuple(at / 1000 for at, _ in points)
    draws = np.random.default_rng(n).standard_normal((n, len(sizes)))
    for area in (cpr, cmd, cmd_log):
        np.testing.assert_allclose(area(sizes, draws), [area(sizes, row) for row in draws])


def test_a_faithful_circuit_has_no_distance_and_the_largest_mib_area() -> None:
    f = np.ones(len(MIB_SIZES))
    assert cpr(MIB_SIZES, f) == pytest.approx(0.999)
    assert cmd(MIB_SIZES, f) == cmd_log(MIB_SIZES, f) == 0


def weights_of(area: Any) -> np.ndarray:
    """What each size weighs: the area of a curve that is 1 from a perfect one at that size only."""
    return np.array([area(MIB_SIZES, 1 - row) for row in np.eye(len(MIB_SIZES))])


def test_mib_weights_of_the_linear_axis() -> None:
    weights = [0.0005, 0.002, 0.004, 0.0075, 0.02, 0.04, 0.075, 0.2, 0.4, 0.25]
    np.testing.assert_allclose(weights_of(cmd), weights)
    assert weights_of(cmd)[7:].sum() / 0.999 == pytest.approx(0.85, abs=0.005)
    assert weights_of(cmd)[:4].sum() / 0.999 == pytest.approx(0.014, abs=0.0005)
    only_full = np.eye(len(MIB_SIZES))[-1]
    assert cpr(MIB_SIZES, only_full) == pytest.approx(0.25)  # MIB's random baseline


def test_weights_of_the_log_axis() -> None:
    weights = [0.05, 0.12, 0.12, 0.10, 0.12, 0.12, 0.10, 0.12, 0.12, 0.05]
    np.testing.assert_allclose(weights_of(cmd_log), weights, atol=0.005)
    assert weights_of(cmd_log).sum() == pytest.approx(1)


def test_one_size_has_a_distance_and_no_area() -> None:
    f = np.array([[0.7], [1.2]])
    np.testing.assert_allclose(cmd_log((0.1,), f), [0.3, 0.2])
    np.testing.assert_array_equal(cpr((0.1,), f), [0, 0])


def made_curve(seed: int, n: int, sizes: tuple[float, ...] = (0.1, 1.0)) -> CurveValues:
    generator = np.random.default_rng(seed)
    full, empty = generator.standard_normal((2, n))
    circuits = generator.standard_normal((len(sizes), n))
    return CurveValues(sizes, full + 5, empty, circuits)


@given(st.integers(0, 1000), st.integers(1, 6))
def test_faithfulness_is_a_ratio_of_means(seed: int, n: int) -> None:
    curve = made_curve(seed, n)
    weights = np.random.default_rng(seed).dirichlet(np.ones(n), size=3)
    uniform = np.full(n, 1 / n)
    expected = (curve.circuits.mean(1) - curve.empty.mean()) / (curve.full - curve.empty).mean()
    np.testing.assert_allclose(curve.faithfulness(uniform), expected)
    for draw, row in zip(weights, curve.faithfulness(weights), strict=True):
        m_full, m_empty = (draw * curve.full).sum(), (draw * curve.empty).sum()
        by_hand = [((draw * c).sum() - m_empty) / (m_full - m_empty) for c in curve.circuits]
        np.testing.assert_allclose(row, by_hand)


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-5, 5))
def test_faithfulness_has_no_unit(seed: int, scale: float, shift: float) -> None:
    curve, uniform = made_curve(seed, 4), np.full(4, 0.25)
    moved = CurveValues(
        curve.sizes,
        curve.full * scale + shift,
        curve.empty * scale + shift,
        curve.circuits * scale + shift,
    )
    np.testing.assert_allclose(moved.faithfulness(uniform), curve.faithfulness(uniform), rtol=1e-6)


def test_full_model_and_empty_circuit_are_the_ends() -> None:
    curve = made_curve(0, 5)
    ends = CurveValues(curve.sizes, curve.full, curve.empty, np.array([curve.empty, curve.full]))
    np.testing.assert_allclose(ends.faithfulness(np.full(5, 0.2)), [0, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ((), "sizes is empty; give fractions in (0, 1], for example sizes=0.01:0.1:1."),
        ((0.0, 1.0), "sizes are fractions in (0, 1], got 0.0."),
        ((0.5, 1.5), "sizes are fractions in (0, 1], got 1.5."),
        ((-0.5,), "sizes are fractions in (0, 1], got -0.5."),
        ((float("nan"),), "sizes are fractions in (0, 1], got nan."),
        (("0.5",), "sizes are fractions in (0, 1], got '0.5'."),
        ((0.5, 0.1), "sizes have to ascend without repetition, got [0.5, 0.1]."),
        ((0.1, 0.1), "sizes have to ascend without repetition, got [0.1, 0.1]."),
    ],
)
def test_sizes_ascend_in_the_unit_interval(sizes: tuple[Any, ...], text: str) -> None:
    with pytest.raises(OptionError) as error:
        check_sizes(sizes)
    assert str(error.value) == text


def test_mib_sizes_are_sizes() -> None:
    check_sizes(MIB_SIZES)
