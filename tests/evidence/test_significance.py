"""Sign flips and the false discovery rate: uniform without effects, and planted effects found."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from helpers.evidence_cases import additive, edge_space, world
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, kstest

from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import OptionError
from harness_circuits.evidence.significance import significance
from harness_circuits.statistics.sign_flips import benjamini_yekutieli, sign_flip_p


def test_all_flips_of_few_groups_by_hand() -> None:
    sums = np.random.default_rng(0).normal(0.5, 1, (5, 4))
    flips = np.array(list(product((1, -1), repeat=5)))
    by_hand = [(abs(flips @ unit) >= abs(unit.sum()) - 1e-9).mean() for unit in sums.T]
    assert sign_flip_p(sums, 0) == pytest.approx(by_hand)


def test_p_values_are_uniform_where_effects_are_symmetric() -> None:
    sums = np.random.default_rng(1).standard_t(3, (30, 1500))
    p = sign_flip_p(sums, 2, rounds=(500,))
    assert kstest(p, "uniform").pvalue > 0.01


def test_later_rounds_resolve_small_p_values_only() -> None:
    generator = np.random.default_rng(3)
    sums = generator.normal(0, 1, (40, 50))
    sums[:, :5] += 2
    coarse, fine = (sign_flip_p(sums, 4, rounds) for rounds in ((200,), (200, 4000)))
    assert (coarse[:5] == 1 / 201).all() and (fine[:5] < 1 / 3000).all()
    assert abs(fine[5:] - coarse[5:]).max() < 0.12


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=30))
def test_adjustment_is_that_of_scipy(p: list[float]) -> None:
    assert benjamini_yekutieli(np.array(p)) == pytest.approx(
        false_discovery_control(p, method="by")
    )


def test_planted_units_are_significant_and_counted_inside_circuits() -> None:
    names = {"input->a0.h0<v>": 0.5, "a0.h0->logits": 0.5}
    circuit, effect = additive(names)
    space = edge_space()
    effects = np.random.default_rng(5).normal(0, 1, (40, *space.shape)) * space.real
    effects[:, circuit.kept] += 4
    samples = Samples(effects.astype(np.float32), np.ones(40, dtype=int))
    scores = Scores(space, effects.mean(0), {}, samples)
    found = significance(replace(world(effect, [circuit]), scores=scores))
    assert found["significant"] >= 2 and found["circuits"][0]["significant"] == 2
    assert found["significant"] <= 4  # of more than a hundred units
    with pytest.raises(OptionError, match=r"^evidence=significance needs scores"):
        significance(world(effect, [circuit]))
