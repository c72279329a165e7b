"""Random circuits: their size, no dead ends, and where found ones lie among them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.random_graphs import graphs
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import LEVELS, Level, ScoreSpace
from harness_circuits.evaluation.null_circuits import null_facts, random_circuit, random_circuits


@given(graphs(), st.sampled_from(LEVELS), st.floats(0, 1), st.integers(0, 9))
@settings(deadline=None, max_examples=150)
def test_size_and_no_dead_ends(graph: Graph, level: Level, share: float, seed: int) -> None:
    space = ScoreSpace(graph, level)
    wanted = round(share * space.n_units)
    circuit = random_circuit(space, wanted, seed)
    if level == "edge":
        assert wanted - 1 <= circuit.n_kept <= wanted
    else:
        assert circuit.n_kept == wanted
    assert np.array_equal(circuit.prune().kept, circuit.kept)
    assert np.array_equal(random_circuit(space, wanted, seed).kept, circuit.kept)


def test_seeds_differ_and_the_ends_are_empty_and_full() -> None:
    space = ScoreSpace(Graph(n_layers=3, n_heads=4, n_kv_heads=4, d_model=8))
    drawn = random_circuits([Circuit.full(space), Circuit.empty(space)], 2, seed=0)
    assert [circuit.n_kept for circuit in drawn] == [space.n_units] * 2 + [0] * 2
    kept = [random_circuit(space, 40, seed).kept.tobytes() for seed in range(20)]
    assert len(set(kept)) == 20


def test_every_edge_can_be_drawn() -> None:
    space = ScoreSpace(Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4))
    share = np.mean([random_circuit(space, 12, seed).kept for seed in range(300)], axis=0)
    assert (share[space.real] > 0).all()


def test_a_large_graph_takes_little_time() -> None:
    space = ScoreSpace(Graph(n_layers=30, n_heads=9, n_kv_heads=9, d_model=576))
    for n in (3, 250, 50_000):
        assert n - 1 <= random_circuit(space, n, 0).n_kept <= n


def test_position_among_random_circuits_by_hand() -> None:
    null = np.array([[0.0, 0.5, 1.2, 3.0]])
    signed = null_facts(Ranking.SIGNED, np.array([1.2]), null, [[5, 5, 5, 3]])
    assert signed["percentile"] == [2.5 / 4]
    assert signed["p_value"] == [(1 + 2) / (1 + 4)]
    assert (signed["n"], signed["kept"]) == (4, [4.5])
    absolute = null_facts(Ranking.ABSOLUTE, np.array([1.1]), null, [[5, 5, 5, 3]])
    assert absolute["percentile"] == [1.0]
    assert absolute["p_value"] == [1 / 5]


@pytest.mark.parametrize("ranking", list(Ranking))
def test_the_same_circuit_lies_in_the_middle(ranking: str) -> None:
    facts = null_facts(ranking, np.ones(1), np.ones((1, 7)), [[1] * 7])
    assert (facts["percentile"], facts["p_value"]) == ([0.5], [1.0])
