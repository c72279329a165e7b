"""Sizes as fractions and as numbers of units, and the circuits that are selected by them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.random_graphs import scores
from hypothesis import given, settings
from hypothesis import strategies as st

import harness_circuits as hc
from harness_circuits.circuits import Graph, Scores, ScoreSpace
from harness_circuits.circuits.by_size import read_counts
from harness_circuits.errors import OptionError

SPACE = ScoreSpace(Graph(n_layers=2, n_heads=4, n_kv_heads=4, d_model=8))  # 110 edges


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 110))
def test_a_number_of_units_is_that_many(count: int) -> None:
    assert list(read_counts(count, SPACE).values()) == [count]
    assert list(read_counts(np.int64(count), SPACE).values()) == [count]
    assert read_counts([count / 110], SPACE) == read_counts([count], SPACE)


def test_fractions_counts_lists_and_texts() -> None:
    assert read_counts(0.1, SPACE) == read_counts("0.1", SPACE) == {0.1: 11}
    assert list(read_counts((0.01, 11, 1), SPACE).values()) == [1, 11, 110]
    assert list(read_counts(hc.MIB_SIZES, SPACE))[-1] == 1.0
    for wrong in (0, -3, 111, True, "x", None, [20, 0.01], [[5]], float("nan")):
        with pytest.raises(OptionError, match="size"):
            read_counts(wrong, SPACE)


@settings(max_examples=25, deadline=None)
@given(scores(levels=("edge",)))
def test_select_takes_one_size_and_shows_what_it_found(found: Scores) -> None:
    circuits = hc.select(found, sizes=0.5)
    assert list(circuits) == [0.5]
    assert repr(circuits) == f"Circuits(0.5: {circuits[0.5].n_kept:,} kept)"
    assert circuits.to_frame()["kept"].tolist() == [circuits[0.5].n_kept]
    assert "<table" in circuits._repr_html_()
    with pytest.raises(OptionError, match=r"scores come from hc\.discover"):
        hc.select("scores")  # type: ignore[arg-type]
