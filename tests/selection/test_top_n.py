"""top-n, and what `select` refuses."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from helpers.random_graphs import scores
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import OptionError, UnknownNameError
from harness_circuits.selection import SELECTORS, Selector, select
from harness_circuits.selection.selectors import ranked
from harness_circuits.selection.top_n import top_n

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=3)
SIZES = (0.01, 0.1, 0.3, 0.5, 1.0)


def best(found: Scores, n: int, ranking: Ranking) -> set[int]:
    """The n best units by a plain sort: higher score first, then lower index."""
    values = found.values.ravel().tolist()
    units = np.flatnonzero(found.space.real.ravel()).tolist()
    order = sorted(
        units,
        key=lambda at: (-(abs(values[at]) if ranking is Ranking.ABSOLUTE else values[at]), at),
    )
    return set(order[:n])


def kept(circuit: Circuit) -> set[int]:
    return set(np.flatnonzero(circuit.kept).tolist())


@given(scores(), st.sampled_from(Ranking))
def test_keeps_the_best_and_breaks_ties_by_index(found: Scores, ranking: Ranking) -> None:
    counts = [found.space.n_at(size) for size in SIZES]
    for circuit, n in zip(top_n(found, counts, ranking), counts, strict=True):
        assert kept(circuit) == best(found, n, ranking)
        assert circuit.n_kept == n


@given(scores(), st.sampled_from(Ranking))
def test_circuits_are_nested_before_pruning(found: Scores, ranking: Ranking) -> None:
    chosen = top_n(found, range(1, found.space.n_units + 1), ranking)
    for smaller, larger in pairwise(chosen):
        assert kept(smaller) < kept(larger)


@given(scores(), st.sampled_from(Ranking))
def test_selection_prunes(found: Scores, ranking: Ranking) -> None:
    counts = [found.space.n_at(size) for size in SIZES]
    before = top_n(found, counts, ranking)
    for raw, circuit in zip(before, select(found, counts, ranking=ranking), strict=True):
        np.testing.assert_array_equal(circuit.kept, raw.prune().kept)
    assert circuit.n_kept == found.space.n_units  # size 1 is the whole model


@given(scores())
def test_only_the_absolute_ranking_ignores_signs(found: Scores) -> None:
    flipped = Scores(found.space, -found.values)
    np.testing.assert_array_equal(
        ranked(found, Ranking.ABSOLUTE), ranked(flipped, Ranking.ABSOLUTE)
    )
    positive = Scores(found.space, np.abs(found.values))
    np.testing.assert_array_equal(ranked(positive, Ranking.SIGNED), ranked(found, Ranking.ABSOLUTE))


@given(scores(), st.floats(0.1, 10))
def test_positive_scale_does_not_matter(found: Scores, scale: float) -> None:
    scaled = Scores(found.space, found.values * scale)
    for ranking in Ranking:
        np.testing.assert_array_equal(ranked(found, ranking), ranked(scaled, ranking))


@pytest.mark.parametrize("level", ["edge", "node", "neuron"])
def test_equal_scores_keep_the_first_units(level: str) -> None:
    space = ScoreSpace(GRAPH, level)  # type: ignore[arg-type]
    found = Scores(space, np.where(space.real, 1.0, 0.0))
    (circuit,) = top_n(found, [5], Ranking.SIGNED)
    assert kept(circuit) == set(np.flatnonzero(space.real)[:5].tolist())


def test_unknown_selector_is_refused_with_the_nearest_name() -> None:
    found = Scores(ScoreSpace(GRAPH), np.zeros((7, 15)))
    with pytest.raises(UnknownNameError, match=r"Unknown selector 'top_n'. Did you mean 'top-n'\?"):
        select(found, [1], "top_n", ranking=Ranking.ABSOLUTE)


def test_unknown_option_is_refused() -> None:
    found = Scores(ScoreSpace(GRAPH), np.zeros((7, 15)))
    with pytest.raises(
        OptionError, match=r"selection=top-n: Unknown option 'root'. There are none\."
    ):
        select(found, [1], ranking=Ranking.ABSOLUTE, root="logits")


def test_levels_and_rankings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    picky = Selector(
        function=top_n,
        levels=("edge",),
        rankings=(Ranking.SIGNED,),
        options={"a": 1},
        source="test",
    )
    monkeypatch.setitem(SELECTORS._items, "picky", picky)
    nodes = Scores(ScoreSpace(GRAPH, "node"), np.zeros(7))
    with pytest.raises(
        OptionError, match=r"selection=picky is not defined at level=node; it is at edge\."
    ):
        select(nodes, [1], "picky", ranking=Ranking.SIGNED)
    edges = Scores(ScoreSpace(GRAPH), np.zeros((7, 15)))
    with pytest.raises(OptionError, match=r"selection=picky has no absolute ranking\."):
        select(edges, [1], "picky", ranking=Ranking.ABSOLUTE)
    with pytest.raises(OptionError, match=r"selection=picky: Unknown option 'b'. Known: a\."):
        select(edges, [1], "picky", ranking=Ranking.SIGNED, b=1)
