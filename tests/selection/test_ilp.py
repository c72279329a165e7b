"""The integer program against brute force over all circuits of tiny graphs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from helpers.selection_cases import random_scores
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Bool

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import NumericalError, OptionError
from harness_circuits.selection import check_selection, select
from harness_circuits.selection.ilp import ilp

TINY = {
    "one head": Graph(n_layers=1, n_heads=1, n_kv_heads=1, d_model=1),
    "two heads": Graph(n_layers=1, n_heads=2, n_kv_heads=2, d_model=1),
    "grouped": Graph(n_layers=1, n_heads=2, n_kv_heads=1, d_model=1),
    "parallel": Graph(n_layers=1, n_heads=2, n_kv_heads=2, d_model=1, parallel=True),
}


@cache
def connected(name: str) -> Bool[np.ndarray, "circuit edge"]:
    """All sets of edges in which every edge lies on a path from input to logits."""
    graph = TINY[name]
    edges = [graph.edge_name(*edge) for edge in np.argwhere(graph.edge_mask)]
    group = graph.n_heads // graph.n_kv_heads
    parts = []
    for edge in edges:
        source, destination = edge.split("->")
        node, _, kind = destination.partition("<")
        readers = {node}
        if kind in ("k>", "v>"):
            layer, head = node.split(".h")
            readers = {f"{layer}.h{int(head) * group + member}" for member in range(group)}
        parts.append((source, readers))
    found = []
    for number in range(2 ** len(edges)):
        kept = [at for at in range(len(edges)) if number >> at & 1]
        sources = {parts[at][0] for at in kept} | {"logits"}
        fed = {reader for at in kept for reader in parts[at][1]} | {"input"}
        if all(parts[at][0] in fed and parts[at][1] & sources for at in kept):
            found.append([at in kept for at in range(len(edges))])
    return np.array(found)


@pytest.mark.parametrize("name", list(TINY))
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), ranking=st.sampled_from(Ranking))
def test_the_circuit_is_the_best_of_all(name: str, seed: int, ranking: Ranking) -> None:
    scores = random_scores(TINY[name], seed)
    values = scores.values[scores.space.real]
    values = ranking.of(values)
    sets = connected(name)
    totals, sizes = sets @ values, sets.sum(1)
    counts = [1, 2, 3, 5, len(values)]
    circuits = ilp(scores, counts, ranking, time_limit=60, gap=0, max_edges=100)
    for circuit, n in zip(circuits, counts, strict=True):
        kept = circuit.kept[scores.space.real]
        assert circuit.n_kept <= n
        assert (sets == kept).all(1).any(), "a dead end"
        assert kept @ values == pytest.approx(totals[sizes <= n].max(), abs=1e-9)
        np.testing.assert_array_equal(circuit.prune().kept, circuit.kept)


def test_brute_force_sees_dead_ends() -> None:
    sets = connected("one head")
    assert not sets[1:].all(1)[:-1].any()
    assert sets[0].sum() == 0 and len(sets) < 2 ** sets.shape[1] / 2


def test_it_is_never_worse_than_greedy() -> None:
    graph = Graph(n_layers=3, n_heads=3, n_kv_heads=3, d_model=1)
    scores = random_scores(graph, 5)
    for ranking in Ranking:
        values = ranking.of(scores.values)
        counts = [5, 20, 60]
        best = select(scores, counts, "ilp", ranking=ranking, gap=0)
        grown = select(scores, counts, "greedy", ranking=ranking)
        for ours, theirs in zip(best, grown, strict=True):
            assert values[ours.kept].sum() >= values[theirs.kept].sum() - 1e-9


def test_without_a_positive_score_the_best_circuit_is_empty() -> None:
    space = ScoreSpace(TINY["two heads"])
    (circuit,) = select(
        Scores(space, -space.real.astype(float)), [5], "ilp", ranking=Ranking.SIGNED
    )
    assert circuit.n_kept == 0
    (circuit,) = select(Scores(space, np.zeros(space.shape)), [5], "ilp", ranking=Ranking.ABSOLUTE)
    assert circuit.n_kept <= 5


def test_a_graph_that_is_too_large_is_refused_up_front() -> None:
    space = ScoreSpace(Graph(n_layers=12, n_heads=12, n_kv_heads=12, d_model=1))
    message = "This graph has 32491, max_edges allows 10000. Take selection=greedy"
    with pytest.raises(OptionError, match=message):
        check_selection("ilp", "edge", (Ranking.ABSOLUTE,), {}, space)
    check_selection("ilp", "edge", (Ranking.ABSOLUTE,), {"max_edges": 40_000}, space)


def test_running_out_of_time_is_an_error() -> None:
    scores = random_scores(Graph(n_layers=6, n_heads=6, n_kv_heads=6, d_model=1))
    with pytest.raises(NumericalError, match=r"best circuit of 9 of 2\d+ edges within 0\.1 s"):
        select(scores, [9], "ilp", ranking=Ranking.ABSOLUTE, time_limit=0.1)
