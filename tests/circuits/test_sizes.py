"""Sizes: what is read from any way of writing them, and what there cannot be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.sizes import (
    MIB_SIZES,
    MOST_SIZES,
    check_sizes,
    parse_sizes,
    size_name,
)
from harness_circuits.errors import OptionError

SIZES = st.lists(st.floats(1e-9, 1), min_size=1, max_size=9, unique=True).map(sorted)


@given(SIZES, st.sampled_from([":", ";", " ", "+", "/", " : "]))
def test_a_text_of_sizes_is_read_back(sizes: list[float], between: str) -> None:
    read = parse_sizes(between.join(f"{size!r}".replace("e-", "E-") for size in sizes))
    assert read == tuple(sizes) == parse_sizes(sizes)
    check_sizes(read)


@pytest.mark.parametrize("value", [0.5, "0.5", [0.5], (np.float64(0.5),), np.array([0.5])])
def test_one_size_may_be_written_in_any_way(value: Any) -> None:
    assert parse_sizes(value) == (0.5,)


@pytest.mark.parametrize(
    "value", ["", "a", "0.1:x", "1_0", "\u0661", True, [True], None, [None], {}]
)
def test_what_is_no_size_is_refused(value: Any) -> None:
    with pytest.raises(OptionError, match="sizes"):
        check_sizes(parse_sizes(value))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((), "sizes is empty"),
        ((0.0, 1.0), r"fractions in \(0, 1\], got 0.0"),
        ((0.5, 1.5), r"fractions in \(0, 1\], got 1.5"),
        ((math.nan,), "got nan"),
        ((1e-10,), "at least 1e-09"),
        ((0.5, 0.5), "ascend without repetition"),
        ((0.5, 0.1), "ascend without repetition"),
        (tuple(np.linspace(0.1, 1, MOST_SIZES + 1).tolist()), "at most 1000"),
    ],
)
def test_sizes_that_there_cannot_be(sizes: tuple[float, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_sizes(sizes)


@given(SIZES)
def test_names_of_sizes_are_the_sizes(sizes: list[float]) -> None:
    assert all(float(size_name(size)) == pytest.approx(size, rel=1e-11) for size in sizes)
    assert [size_name(size) for size in MIB_SIZES][:2] == ["0.001", "0.002"]
