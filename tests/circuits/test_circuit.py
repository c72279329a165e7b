"""Circuits: pruning against an enumeration of paths, counts, set operations."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.random_graphs import circuits
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import MismatchError, UnknownNameError

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4)
GROUPED = Graph(n_layers=2, n_heads=4, n_kv_heads=2, d_model=4)


def readers(graph: Graph, destination: str) -> set[str]:
    """Nodes that read a destination, from the names alone."""
    node, _, kind = destination.partition("<")
    if kind[:1] not in ("k", "v"):
        return {node}
    layer, head = node.split(".h")
    group = graph.n_heads // graph.n_kv_heads
    return {f"{layer}.h{int(head) * group + offset}" for offset in range(group)}


def edges_on_paths(graph: Graph, kept: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Walk every path of kept edges from the input to the logits, and collect the edges used."""
    used: set[tuple[str, str]] = set()

    def walk(node: str, trail: list[tuple[str, str]]) -> None:
        if node == "logits":
            used.update(trail)
            return
        for source, destination in kept:
            if source == node:
                for reader in readers(graph, destination):
                    walk(reader, [*trail, (source, destination)])

    walk("input", [])
    return used


def names_of(circuit: Circuit) -> set[tuple[str, str]]:
    graph = circuit.space.graph
    return {
        (graph.source_names[src], graph.destination_names[dst])
        for src, dst in np.argwhere(circuit.edges)
    }


@given(circuits(("edge",), max_layers=2))
def test_pruning_edges_keeps_those_on_paths(circuit: Circuit) -> None:
    graph = circuit.space.graph
    assert names_of(circuit.prune()) == edges_on_paths(graph, names_of(circuit))


@given(circuits(("node", "neuron"), max_layers=2))
def test_pruning_nodes_keeps_those_on_paths(circuit: Circuit) -> None:
    graph = circuit.space.graph
    used = {source for source, _ in edges_on_paths(graph, names_of(circuit))}
    pruned = circuit.prune()
    for index, name in enumerate(graph.source_names):
        expected = circuit.kept[index] if name in used else np.zeros_like(circuit.kept[index])
        np.testing.assert_array_equal(pruned.kept[index], expected)


@given(circuits())
def test_pruning_is_idempotent_and_only_removes(circuit: Circuit) -> None:
    before = circuit.kept.copy()
    pruned = circuit.prune()
    np.testing.assert_array_equal(circuit.kept, before)
    assert not (pruned.kept & ~circuit.kept).any()
    np.testing.assert_array_equal(pruned.prune().kept, pruned.kept)


@given(circuits(), st.integers(0, 2**32 - 1))
def test_pruning_is_monotone(circuit: Circuit, seed: int) -> None:
    chance = np.random.default_rng(seed).random(circuit.space.shape)
    smaller = Circuit(circuit.space, circuit.kept & (chance < 0.7))
    assert not (smaller.prune().kept & ~circuit.prune().kept).any()


@given(circuits())
def test_the_whole_model_and_nothing_are_not_pruned(circuit: Circuit) -> None:
    space = circuit.space
    full, empty = Circuit.full(space), Circuit.empty(space)
    assert full.prune().n_kept == full.n_kept == space.n_units
    assert empty.prune().n_kept == empty.n_kept == 0
    assert full.weighted_edges == space.graph.n_edges
    if space.level == "mlp-neuron":  # what no unit stands for is kept
        assert not empty.nodes[space.graph.mlp_sources].any()
        assert int(empty.nodes.sum()) == space.graph.n_src - space.graph.n_layers
    else:
        assert empty.weighted_edges == 0


def test_shared_keys_feed_every_head_of_their_group() -> None:
    names = ["input->a0.h1<k>", "a0.h2->logits", "a0.h1->logits"]
    pruned = Circuit.of_edges(GROUPED, names).prune()
    assert names_of(pruned) == {("input", "a0.h1<k>"), ("a0.h2", "logits")}


@given(circuits(("edge",)))
def test_edge_circuits_count_their_edges(circuit: Circuit) -> None:
    assert circuit.weighted_edges == circuit.n_kept == len(names_of(circuit))


@given(circuits(("node", "neuron"), max_layers=2))
def test_weighted_edges_count_kept_neurons_of_the_source(circuit: Circuit) -> None:
    graph = circuit.space.graph
    share = {
        name: float(np.mean(circuit.kept[index])) for index, name in enumerate(graph.source_names)
    }
    share["logits"] = 1.0
    total = sum(
        share[source]
        for source, destination in names_of(circuit)
        if any(share[reader] > 0 for reader in readers(graph, destination))
    )
    assert circuit.weighted_edges == pytest.approx(total)


def test_weighted_edges_by_hand() -> None:
    graph = Graph(n_layers=1, n_heads=1, n_kv_heads=1, d_model=4)
    kept = np.zeros((3, 4), dtype=bool)
    kept[0], kept[1, :2] = True, True  # all of input, half of a0.h0, nothing of m0
    circuit = Circuit(ScoreSpace(graph, "neuron"), kept)
    # input -> q, k, v, logits count 1 each, a0.h0 -> logits 1/2; nothing enters m0, it is not kept
    assert circuit.weighted_edges == 4.5


@given(circuits())
def test_edges_of_a_node_circuit_leave_its_nodes(circuit: Circuit) -> None:
    graph = circuit.space.graph
    assert not (circuit.edges & ~graph.edge_mask).any()
    if circuit.space.level != "edge":
        kept = np.ones(graph.n_src, dtype=bool)  # unless units stand for it
        of = graph.mlp_sources if circuit.space.level == "mlp-neuron" else slice(None)
        kept[of] = circuit.kept.reshape(len(circuit.kept), -1).any(axis=1)
        np.testing.assert_array_equal(circuit.nodes, kept)
        np.testing.assert_array_equal(circuit.edges.sum(1), graph.edge_mask.sum(1) * kept)


@given(circuits())
def test_complement(circuit: Circuit) -> None:
    other = circuit.complement()
    assert (circuit & other).n_kept == 0
    assert (circuit | other).n_kept == circuit.space.n_units
    np.testing.assert_array_equal(other.complement().kept, circuit.kept)


@given(circuits(), st.integers(0, 2**32 - 1))
def test_jaccard_agrees_with_sets(circuit: Circuit, seed: int) -> None:
    chance = np.random.default_rng(seed).random(circuit.space.shape)
    other = Circuit(circuit.space, (chance < 0.4) & circuit.space.real)
    a, b = (set(np.flatnonzero(c.kept).tolist()) for c in (circuit, other))
    assert circuit.jaccard(other) == (len(a & b) / len(a | b) if a | b else 1.0)
    assert circuit.jaccard(circuit) == 1.0


def test_circuits_of_different_spaces_are_not_combined() -> None:
    a, b = Circuit.full(ScoreSpace(GRAPH)), Circuit.full(ScoreSpace(GRAPH, "node"))
    for combine in (a.__and__, a.__or__, a.jaccard):
        with pytest.raises(MismatchError, match="different graphs or levels cannot be combined"):
            combine(b)


def test_edges_by_name() -> None:
    names = ["input->a0.h1<k>", "a0.h1->m0", "m0->logits"]
    circuit = Circuit.of_edges(GRAPH, [*names, names[0]])
    assert {f"{a}->{b}" for a, b in names_of(circuit)} == set(names)
    assert circuit.n_kept == 3
    with pytest.raises(UnknownNameError, match="There is no edge 'm1->m0'"):
        Circuit.of_edges(GRAPH, ["m1->m0"])


def test_shape_and_dtype_are_checked() -> None:
    space = ScoreSpace(GRAPH)
    for kept in (np.zeros((3, 3), dtype=bool), np.zeros(space.shape)):
        with pytest.raises(MismatchError) as error:
            Circuit(space, kept)
        assert str(error.value) == (
            f"A circuit of shape {kept.shape} ({kept.dtype}) does not fit a graph whose edge "
            "circuits have shape (7, 15) (bool)."
        )


def test_edges_that_do_not_exist_cannot_be_kept() -> None:
    kept = np.zeros((GRAPH.n_src, GRAPH.n_dst), dtype=bool)
    kept[GRAPH.n_src - 1, 0] = True
    with pytest.raises(MismatchError, match="keeps edges that the graph does not have"):
        Circuit(ScoreSpace(GRAPH), kept)
