"""The strongest units: their order, their nodes, and whether they are in a known circuit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.random_graphs import spaces
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model
from hypothesis import given
from hypothesis import strategies as st

import harness_circuits as hc
from harness_circuits.circuits import Circuit, Graph, Scores, ScoreSpace
from harness_circuits.circuits.known import known_for_task
from harness_circuits.evaluation.strongest import strongest_table, strongest_units

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4)


def random_scores(space: ScoreSpace, seed: int) -> Scores:
    values = np.random.default_rng(seed).integers(-3, 4, space.shape) * 0.5
    return Scores(space, np.where(space.real, values, 0.0))


@given(spaces(), st.integers(0, 99), st.integers(1, 12))
def test_units_come_by_absolute_score_and_ties_by_index(
    space: ScoreSpace, seed: int, n: int
) -> None:
    scores = random_scores(space, seed)
    places = [tuple(map(int, at)) for at in np.argwhere(space.real)]
    expected = sorted(places, key=lambda at: -abs(scores.values[at]))[:n]  # sorted is stable
    assert [at for at, _ in scores.strongest(n)] == expected
    found = strongest_units(scores, most=n)
    assert [unit.unit for unit in found.units] == [space.unit_name(*at) for at in expected]
    assert all(unit.known is None for unit in (*found.units, *found.nodes))
    assert len(strongest_table(found).splitlines()) >= len(expected) + 1
    json.dumps(found.to_dict(), allow_nan=False)


@given(spaces(), st.integers(0, 99))
def test_a_node_has_the_sum_of_its_parts(space: ScoreSpace, seed: int) -> None:
    scores = random_scores(space, seed)
    sources = np.arange(space.graph.n_src)[space.scored_sources]
    wanted = np.zeros(space.graph.n_src)  # of what no unit stands for, too
    for at in map(tuple, np.argwhere(space.real)):
        wanted[sources[at[0]]] += scores.values[at]
    np.testing.assert_allclose(scores.by_node().values, wanted)


def test_what_is_in_the_known_circuit_is_marked() -> None:
    truth = Circuit.of_edges(GRAPH, ["input->a0.h0<q>", "a0.h0->logits"])
    values = np.zeros(ScoreSpace(GRAPH).shape)
    for name, value in (("input->a0.h0<k>", 3), ("input->a0.h0<q>", -2), ("m0->logits", 1)):
        values[GRAPH.edge_index(name)] = value
    scores = Scores(ScoreSpace(GRAPH), values)
    found = strongest_units(scores, ("the truth", truth), most=3)
    assert [(unit.score, unit.known) for unit in found.units] == [
        (3, False),
        (-2, True),
        (1, False),
    ]
    assert [(unit.unit, unit.known) for unit in found.nodes[:2]] == [("input", True), ("m0", False)]
    whole = strongest_units(scores, ("the truth", truth), whole_heads=True, most=3)
    assert [unit.known for unit in whole.units] == [True, True, False]
    lines = strongest_table(found).splitlines()
    assert lines[0].split() == "strongest edges score known strongest nodes score known".split()
    assert lines[1].split() == "input->a0.h0<k> +3 - input +1 yes".split()
    assert lines[-1] == "  known: in the circuit the truth"


def test_nodes_stand_alone_and_of_neurons_only_nodes_are_known() -> None:
    truth = Circuit.of_edges(GRAPH, ["input->a0.h0<q>", "a0.h0->logits"])
    node, neuron = (random_scores(ScoreSpace(GRAPH, x), 0) for x in ("node", "neuron"))
    of_nodes = strongest_units(node, ("truth", truth))
    assert of_nodes.units == of_nodes.nodes
    assert (
        strongest_table(of_nodes).splitlines()[0].split() == "strongest nodes score known".split()
    )
    of_neurons = strongest_units(neuron, ("truth", truth))
    assert {unit.known for unit in of_neurons.units} == {None}
    assert {unit.known for unit in of_neurons.nodes} == {True, False}


def test_the_literatures_circuit_is_that_of_gpt2_small_only() -> None:
    gpt2 = Graph(n_layers=12, n_heads=12, n_kv_heads=12, d_model=768)
    named = known_for_task("ioi_circuit", gpt2)
    assert named is not None and named[0] == "ioi-gpt2-small"
    assert known_for_task("ioi_circuit", GRAPH) is known_for_task("sva_circuit", gpt2) is None
    values = np.zeros(ScoreSpace(gpt2).shape)
    values[gpt2.edge_index("a9.h9->logits")] = 1.0  # a name mover
    found = strongest_units(Scores(ScoreSpace(gpt2), values), named)
    assert found.units[0].known and found.nodes[0].known


@pytest.mark.parametrize("method", ["EAP", "EAP-IG-inputs"])
def test_of_gradients_the_sum_is_the_nodes_own_score(method: str, tmp_path: Path) -> None:
    model = hc.load_model(str(save_tiny_model(tmp_path, "gpt2")), dtype="float64")
    pairs = hc.pairs_from_docs(documents(0, 4), "pairs")
    edges, nodes = (hc.discover(model, pairs, method=method, level=x) for x in ("edge", "node"))
    np.testing.assert_allclose(edges.by_node().values, nodes.values, rtol=1e-9, atol=1e-12)


def test_hidden_units_add_up_to_their_mlps_and_to_no_other_node() -> None:
    space = ScoreSpace(replace(GRAPH, d_mlp=3), "mlp-neuron")
    scores = Scores(space, np.arange(space.n_units, dtype=float).reshape(space.shape) - 1)
    nodes = scores.by_node()
    assert nodes.values[GRAPH.mlp_sources].tolist() == scores.values.sum(axis=1).tolist()
    assert nodes.values.sum() == scores.values.sum()
    table = strongest_table(strongest_units(scores))
    assert (
        "strongest mlp-neurons" in table and "m1.h[2]" in table and "over its hidden units" in table
    )
