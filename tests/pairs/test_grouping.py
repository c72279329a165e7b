"""Batches of pairs with near first differences: the cheapest division, against all others."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.pairs.grouping import PASS_TOKENS, group_by_start


def cost(batches: list[list[int]], starts: list[int], n_tokens: int) -> int:
    return sum(
        PASS_TOKENS + len(batch) * (n_tokens - min(starts[at] for at in batch)) for batch in batches
    )


@given(st.lists(st.integers(0, 400), min_size=1, max_size=7), st.integers(1, 7))
def test_no_other_division_is_cheaper(starts: list[int], most: int) -> None:
    n_tokens = 401
    found = group_by_start(starts, n_tokens, most)
    assert sorted(at for batch in found for at in batch) == list(range(len(starts)))
    assert all(0 < len(batch) <= most for batch in found)
    order = sorted(range(len(starts)), key=lambda at: starts[at])
    others = []
    for n_cuts in range(len(starts)):
        for cuts in combinations(range(1, len(starts)), n_cuts):
            edges = [0, *cuts, len(starts)]
            batches = [order[a:b] for a, b in pairwise(edges)]
            if all(len(batch) <= most for batch in batches):
                others.append(cost(batches, starts, n_tokens))
    assert cost(found, starts, n_tokens) == min(others)


@given(st.integers(1, 30), st.integers(1, 9))
def test_pairs_that_share_nothing_stay_in_their_order(n: int, most: int) -> None:
    found = group_by_start([0] * n, 10, most)
    assert found == [list(range(at, min(at + most, n))) for at in range(0, n, most)]
