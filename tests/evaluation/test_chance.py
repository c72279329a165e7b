"""Accuracy against guessing, and the warning that a curve says nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from harness_circuits.evaluation.chance import accuracy_and_chance, near_chance_warning
from harness_circuits.pairs.pair import Pair

TWO = Pair("a", "b", (" x", " y"), (0,), (1,))
FOUR = Pair("a", "b", (" x", " y", " z", " w"), (2,), (0, 1, 3))


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(counts: tuple[int, int]) -> None:
    k, n = counts
    found = accuracy_and_chance([1.0] * k + [0.0] * (n - k), [TWO] * n)
    wanted = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert found.value == k / n
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_chance_is_the_share_of_correct_choices_averaged_over_pairs() -> None:
    assert accuracy_and_chance([1, 0], [TWO, FOUR]).chance == (1 / 2 + 1 / 4) / 2


@pytest.mark.parametrize(
    ("hits", "n", "near"), [(100, 200, True), (130, 200, False), (0, 20, True), (5, 5, False)]
)
def test_near_chance_is_not_clearly_above_it(hits: int, n: int, near: bool) -> None:
    found = accuracy_and_chance([1.0] * hits + [0.0] * (n - hits), [TWO] * n)
    assert found.near_chance is near


def test_the_warning_names_task_model_and_numbers() -> None:
    found = accuracy_and_chance([1.0] * 5 + [0.0] * 5, [TWO] * 10)
    text = near_chance_warning(found, "ioi_circuit", "tiny")
    assert text.startswith(
        "ioi_circuit: tiny has an accuracy of 0.50 (95% interval 0.24 to 0.76), "
    )
    assert "guessing has 0.50" in text
    assert "faithfulness curve says nothing" in text
