"""threshold against its definition."""

from __future__ import annotations

import numpy as np
from helpers.selection_cases import Case, cases, random_scores
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.selection.threshold import by_threshold
from harness_circuits.selection.top_n import top_n

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=2)


def units(kept: np.ndarray) -> set[int]:
    return set(np.flatnonzero(kept).tolist())


@given(case=cases())
def test_threshold_keeps_all_ties_at_the_cut_and_nothing_below(case: Case) -> None:
    values = case.values
    circuits = by_threshold(case.scores, case.counts, case.ranking, threshold=None)
    for circuit, n in zip(circuits, case.counts, strict=True):
        kept = units(circuit.kept)
        worst = min(values[unit] for unit in kept)
        assert kept == {unit for unit, value in values.items() if value >= worst}
        assert sum(value > worst for value in values.values()) < n <= len(kept)
    best = top_n(case.scores, case.counts, case.ranking)
    assert all(units(a.kept) >= units(b.kept) for a, b in zip(circuits, best, strict=True))


@given(seed=st.integers(0, 10**6), n=st.integers(1, 20), ranking=st.sampled_from(Ranking))
def test_threshold_without_ties_is_top_n(seed: int, n: int, ranking: Ranking) -> None:
    scores = random_scores(GRAPH, seed)
    (ours,) = by_threshold(scores, [n], ranking, threshold=None)
    (best,) = top_n(scores, [n], ranking)
    np.testing.assert_array_equal(ours.kept, best.kept)


@given(case=cases(), threshold=st.integers(-7, 7))
def test_an_explicit_threshold_bounds_all_sizes_and_is_the_largest(
    case: Case, threshold: int
) -> None:
    above = {unit for unit, value in case.values.items() if value >= threshold}
    free = by_threshold(case.scores, case.counts, case.ranking, threshold=None)
    bound = by_threshold(case.scores, case.counts, case.ranking, threshold=threshold)
    for a, b in zip(free, bound, strict=True):
        assert units(b.kept) == units(a.kept) & above
    n_units = case.scores.space.n_units
    (whole,) = by_threshold(case.scores, [n_units], case.ranking, threshold=threshold)
    assert units(whole.kept) == above
