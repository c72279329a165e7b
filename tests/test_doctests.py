"""What a user meets first has an example that runs (`--doctest-modules` runs them)."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from harness_circuits import api, registry
from harness_circuits.circuits import Circuit, Graph, Ranking, Scores, ScoreSpace, sizes
from harness_circuits.evaluation import curve
from harness_circuits.pairs import make_pairs
from harness_circuits.selection import selectors

FIRST = (
    *(curve.cpr, curve.cmd, curve.cmd_log, curve.faithfulness, curve.CurveValues.faithfulness),
    *(Graph.edge_index, Circuit.prune, Circuit.jaccard, ScoreSpace.n_at, Scores, Ranking.of),
    *(make_pairs, sizes.parse_sizes, sizes.size_name, sizes.check_sizes),
    *(api.select, selectors.select, selectors.ranked),
    *(registry.unknown_name, registry.closest),
)


@pytest.mark.parametrize("item", FIRST, ids=lambda item: item.__qualname__)
def test_what_a_user_meets_first_has_an_example(item: Any) -> None:
    assert doctest.DocTestParser().get_examples(item.__doc__ or "")
