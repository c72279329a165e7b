"""What every selector promises, and what it refuses."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers.selection_cases import Additive, cases, random_scores, with_samples
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import OptionError, UnknownNameError
from harness_circuits.selection import SELECTORS, check_selection, select

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4)
NAMES = tuple(SELECTORS)


def ready(name: str, scores: Scores) -> Scores:
    return with_samples(scores) if SELECTORS.get(name).samples else scores


def how(name: str, scores: Scores) -> dict[str, Any]:
    """What the selector is given beside scores: faithfulness in an additive game."""
    total = float(np.abs(scores.values).sum()) / 12 or 1.0
    return {"measure": Additive(scores, total)} if SELECTORS.get(name).trials else {}


def contains(large: Circuit, small: Circuit) -> bool:
    return not (small.kept & ~large.kept).any()


def test_all_selectors_are_there() -> None:
    expected = {"top-n", "threshold", "greedy", "pnr", "bootstrap-filter", "ilp"}
    assert expected <= set(NAMES)
    assert all(SELECTORS.get(name).source for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_circuits_are_pruned_bounded_nested_as_promised_and_repeatable(
    name: str, data: st.DataObject
) -> None:
    selector = SELECTORS.get(name)
    case = data.draw(cases(selector.levels, most_layers=2, most_heads=2))
    scores = ready(name, case.scores)
    before = scores.values.copy()
    circuits = select(scores, case.counts, name, ranking=case.ranking, **how(name, scores))
    assert len(circuits) == len(case.counts)
    for circuit, n in zip(circuits, case.counts, strict=True):
        np.testing.assert_array_equal(circuit.prune().kept, circuit.kept)
        assert circuit.n_kept <= n or name == "threshold"
    if selector.nested:
        assert all(contains(large, small) for small, large in pairwise(circuits))
    again = select(scores, case.counts, name, ranking=case.ranking, **how(name, scores))
    assert all((a.kept == b.kept).all() for a, b in zip(circuits, again, strict=True))
    np.testing.assert_array_equal(scores.values, before)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("bootstrap-filter", "ilp")])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_largest_size_is_the_whole_graph(name: str, data: st.DataObject) -> None:
    case = data.draw(cases(SELECTORS.get(name).levels, most_layers=2, most_heads=3))
    space = case.scores.space
    (circuit,) = select(
        case.scores, [space.n_units], name, ranking=case.ranking, **how(name, case.scores)
    )
    assert circuit.n_kept == space.n_units


@pytest.mark.parametrize("name", [n for n in NAMES if not SELECTORS.get(n).nested])
def test_a_selector_that_promises_no_nesting_does_not_nest(name: str) -> None:
    def nests(seed: int) -> bool:
        scores = ready(name, random_scores(GRAPH, seed))
        circuits = select(
            scores, (2, 3, 5, 7, 15, 25), name, ranking=Ranking.ABSOLUTE, **how(name, scores)
        )
        return all(contains(large, small) for small, large in pairwise(circuits))

    assert not all(nests(seed) for seed in range(20))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("threshold", {"threshold": "high"}, r"threshold is a finite number .*, got 'high'"),
        ("threshold", {"threshold": float("nan")}, "threshold is a finite number"),
        ("threshold", {"threshold": True}, "threshold is a finite number"),
        ("pnr", {"share": 1.5}, r"share is a number from 0 to 1, got 1\.5"),
        ("pnr", {"share": "half"}, r"share is a number from 0 to 1, got 'half'"),
        (
            "bootstrap-filter",
            {"resamples": 0},
            r"resamples is a whole number from 1 to 100000, got 0",
        ),
        ("bootstrap-filter", {"resamples": 2.5}, "resamples is a whole number"),
        ("bootstrap-filter", {"consistency": 95}, r"consistency is a number from 0 to 1, got 95"),
        ("bootstrap-filter", {"seed": -1}, r"seed is a whole number from 0 to 4294967295, got -1"),
        ("ilp", {"time_limit": 0}, r"time_limit is a number from 0\.1 to 604800, got 0"),
        ("ilp", {"gap": -0.1}, r"gap is a number from 0 to 1, got -0\.1"),
        ("greedy", {"share": 0.5}, "selection=greedy: Unknown option 'share'. There are none."),
        ("pnr", {"threshold": 1}, r"selection=pnr: Unknown option 'threshold'. Known: share."),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    scores = ready(name, random_scores(GRAPH))
    with pytest.raises(OptionError, match=message):
        select(scores, [3], name, ranking=Ranking.ABSOLUTE, **options)
    with pytest.raises(OptionError, match=message):
        check_selection(name, "edge", (Ranking.ABSOLUTE,), options)


@pytest.mark.parametrize("name", ["greedy", "ilp"])
def test_selectors_of_edges_refuse_other_levels(name: str) -> None:
    with pytest.raises(
        OptionError, match=f"selection={name} is not defined at level=node; .* edge"
    ):
        select(random_scores(GRAPH, level="node"), [3], name, ranking=Ranking.ABSOLUTE)


def test_an_unknown_selector_names_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'greedy'"):
        select(random_scores(GRAPH), [3], "gredy", ranking=Ranking.ABSOLUTE)


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_pruning_keeps_circuits_of_growing_size_nested(seed: int) -> None:
    scores = random_scores(GRAPH, seed)
    circuits = select(scores, range(1, scores.space.n_units + 1), "greedy", ranking=Ranking.SIGNED)
    assert all(contains(large, small) for small, large in pairwise(circuits))
