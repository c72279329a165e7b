"""Destinations grouped into batched products: every one with its own row and weight, once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.passes.readings import Selector, read_rows, selector


def numbers(which: Selector, n: int) -> list[int]:
    return list(range(n)[which]) if isinstance(which, slice) else which.tolist()


@given(st.lists(st.integers(0, 30), max_size=8, unique=True))
def test_a_selector_selects_and_is_a_view_where_it_can_be(which: list[int]) -> None:
    found = selector(np.array(which, dtype=int))
    assert numbers(found, 31) == which
    steps = {b - a for a, b in pairwise(which)}
    even = bool(which) and len(steps) < 2 and min(steps, default=1) > 0
    assert isinstance(found, slice) == even


@given(st.data(), st.integers(1, 3), st.integers(1, 3))
def test_every_kept_destination_reads_its_row_by_its_weight_once(
    data: st.DataObject, n_weights: int, group: int
) -> None:
    n = n_weights * group
    of = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n)))
    reading = read_rows(of, n_weights)
    if reading.shared is not None:
        assert set(of.tolist()) == {reading.shared} and reading.parts == ()
        return
    found = {}
    for part in reading.parts:
        rows, weights, heads = (numbers(x, 99) for x in (part.rows, part.weights, part.heads))
        assert len(set(weights)) == len(weights), "one batched product has each weight once"
        for row, weight, head in zip(rows, weights, heads, strict=True):
            assert head not in found and weight == head // group
            found[head] = row
    assert found == {head: row for head, row in enumerate(of.tolist()) if row >= 0}
    assert reading.complete == (len(found) == n) and reading.n == n
