"""Intervals of curves: what they cover, in a small simulation."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.coverage import POPULATIONS, Population, alarms, coverage
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.curve import CurveValues
from harness_circuits.evaluation.uncertainty import curve_intervals


@pytest.mark.parametrize("population", POPULATIONS, ids=str)
def test_intervals_cover_at_twenty_pairs(population: Population) -> None:
    """Of 100 runs at least 92% are meant to be covered; fewer than 85 have a chance of 1%."""
    found = coverage(population, 20, 100, 299, 3)["now"]
    assert {name: share for name, share in found.items() if share < 0.85} == {}


def test_percentile_intervals_did_not_cover() -> None:
    population = Population("skewed", "near 1", "small")
    assert coverage(population, 20, 50, 299, 3)["before"]["cmd"] < 0.5


def test_comparisons_raise_as_many_false_alarms_as_they_say() -> None:
    """5% of 320 are 16; more than 27 have a chance of 0.4%."""
    assert alarms(12, 40, 299, 0)["now"] <= 27 / 320


def test_signs_that_are_known_leave_one_choice() -> None:
    """Far from 1, CMD is a plain sum, and its interval as wide as that of the area under f."""
    generator = np.random.default_rng(0)
    full, empty = generator.normal(5, 0.1, 30), generator.normal(0, 0.1, 30)
    values = CurveValues((0.1, 1.0), full, empty, np.stack([full * 0.5, full * 0.4]))
    found, _ = curve_intervals(dict.fromkeys(Ranking, values), 500, 0)
    cmd, cpr = found[Ranking.ABSOLUTE].areas["cmd"], found[Ranking.SIGNED].areas["cpr"]
    assert cmd is not None and cpr is not None
    assert cmd == pytest.approx((0.9 - cpr[1], 0.9 - cpr[0]))


def test_where_signs_are_not_known_cmd_may_be_nothing() -> None:
    generator = np.random.default_rng(0)
    full, empty = generator.normal(5, 1, 20), generator.normal(0, 1, 20)
    values = CurveValues((0.1, 0.5, 1.0), full, empty, full + generator.normal(0, 1, (3, 20)))
    found, _ = curve_intervals({Ranking.ABSOLUTE: values}, 500, 0)
    bounds = found[Ranking.ABSOLUTE].areas["cmd"]
    assert bounds is not None and bounds[0] == 0 < bounds[1]
