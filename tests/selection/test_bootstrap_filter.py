"""bootstrap-filter against its definition."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers.selection_cases import Case, cases, random_scores, with_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import OptionError
from harness_circuits.selection import select
from harness_circuits.selection.bootstrap_filter import bootstrap_filter, same_sign
from harness_circuits.statistics.bootstrap import resample_weights

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=2)


def units(kept: np.ndarray) -> set[int]:
    return set(np.flatnonzero(kept).tolist())


@settings(max_examples=30, deadline=None)
@given(case=cases(), consistency=st.sampled_from([0.5, 0.8, 0.95, 1.0]), seed=st.integers(0, 9))
def test_bootstrap_filter_is_its_definition(case: Case, consistency: float, seed: int) -> None:
    scores = with_samples(case.scores, seed=seed)
    assert scores.samples is not None
    weights = resample_weights(len(scores.samples), 20, seed)
    passed = {}
    for unit, value in case.values.items():
        score = float(scores.values.flat[unit])
        sums = scores.samples.sums.reshape(len(scores.samples), -1)[:, unit].astype(float)
        agree = sum(float(draw @ sums) * score > 0 for draw in weights)
        if agree >= consistency * 20 - 1e-9 and score != 0:
            passed[unit] = value
    order = sorted(passed, key=lambda unit: (-passed[unit], unit))
    circuits = bootstrap_filter(
        scores, case.counts, case.ranking, resamples=20, consistency=consistency, seed=seed
    )
    for circuit, n in zip(circuits, case.counts, strict=True):
        assert units(circuit.kept) == set(order[:n])


def test_samples_without_noise_pass_and_opposite_ones_do_not() -> None:
    scores = random_scores(GRAPH)
    sizes = np.array([1, 2, 3, 4])
    clear = scores.values * sizes[:, None, None]
    np.testing.assert_array_equal(
        same_sign(replace(scores, samples=Samples(clear.astype(np.float32), sizes)), 50, 0)[
            GRAPH.edge_mask
        ],
        1,
    )
    noisy = clear.copy()
    noisy[:, 0, 0] = scores.values[0, 0] * np.array([101, -98, 103, -96])
    doubtful = replace(scores, samples=Samples(noisy.astype(np.float32), sizes))
    share = same_sign(doubtful, 500, 0)
    assert 0.2 < share[0, 0] < 0.8
    assert np.delete(share[GRAPH.edge_mask], 0).min() == 1
    (circuit,) = select(doubtful, [GRAPH.n_edges], "bootstrap-filter", ranking=Ranking.ABSOLUTE)
    assert not circuit.kept[0, 0]
    assert circuit.n_kept <= GRAPH.n_edges - 1


def test_the_seed_decides_the_draws() -> None:
    scores = with_samples(random_scores(GRAPH), noise=5)
    first, again, other = (same_sign(scores, 30, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_blocks_of_units_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = with_samples(random_scores(GRAPH), noise=5)
    whole = same_sign(scores, 30, 0)
    monkeypatch.setattr(sys.modules[same_sign.__module__], "_BLOCK", 200)
    np.testing.assert_array_equal(same_sign(scores, 30, 0), whole)


@pytest.mark.parametrize("n", [0, 1])
def test_bootstrap_filter_refuses_scores_without_samples(n: int) -> None:
    scores: Scores = random_scores(GRAPH)
    if n:
        scores = with_samples(scores, n)
    message = f"these scores hold {n} groups. Discover again with keep_samples=64"
    with pytest.raises(OptionError, match=message):
        select(scores, [3], "bootstrap-filter", ranking=Ranking.ABSOLUTE)
