"""Batches of pairs with near numbers of tokens to run: the cheapest division, against all others."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.pairs.grouping import (
    LEAST_SHARE,
    PASS_TOKENS,
    PREFIX_TOKENS,
    Extent,
    group,
)

EXTENTS = st.lists(
    st.integers(1, 300).flatmap(lambda n: st.builds(Extent, st.just(n), st.integers(min(n, 1), n))),
    min_size=1,
    max_size=7,
)


def cost(batches: list[list[int]], extents: list[Extent], n_appended: int) -> float:
    total = 0.0
    for batch in batches:
        lengths = [extents[at].n_prompt for at in batch]
        behind = max(extents[at].behind for at in batch)
        prefix = max(lengths) - behind
        if prefix < LEAST_SHARE * (max(lengths) + n_appended):
            prefix, behind = 0, max(lengths)
        if behind > min(lengths):
            return inf
        total += PASS_TOKENS + len(batch) * (behind + n_appended + prefix / PREFIX_TOKENS)
    return total


@given(EXTENTS, st.integers(0, 12), st.integers(1, 7))
def test_no_other_division_is_cheaper(extents: list[Extent], n_appended: int, most: int) -> None:
    found = group(extents, n_appended, most)
    assert sorted(at for batch in found for at in batch) == list(range(len(extents)))
    assert all(0 < len(batch) <= most for batch in found)
    order = sorted(range(len(extents)), key=lambda at: (extents[at].behind, extents[at].n_prompt))
    others = []
    for n_cuts in range(len(extents)):
        for cuts in combinations(range(1, len(extents)), n_cuts):
            edges = [0, *cuts, len(extents)]
            batches = [order[a:b] for a, b in pairwise(edges)]
            if all(len(batch) <= most for batch in batches):
                others.append(cost(batches, extents, n_appended))
    assert cost(found, extents, n_appended) == min(others) < inf


@given(st.integers(1, 30), st.integers(1, 9))
def test_pairs_that_share_nothing_stay_in_their_order(n: int, most: int) -> None:
    found = group([Extent(10, 10)] * n, 0, most)
    assert found == [list(range(at, min(at + most, n))) for at in range(0, n, most)]


def test_prompts_of_any_length_go_together_by_what_lies_behind_their_first_difference() -> None:
    extents = [Extent(10 + at % 4, 5 if at < 60 else 9) for at in range(120)]
    assert group(extents, 0, 120) == [list(range(60)), list(range(60, 120))]
    apart = [Extent(n, n) for n in (10, 11, 12)]
    assert group(apart, 0, 60) == [[0], [1], [2]]
