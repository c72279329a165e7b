"""Names, order, topology and counts of graphs."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.random_graphs import graphs
from hypothesis import given

from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import CircuitFileError, OptionError, UnknownNameError

GPT2 = Graph(n_layers=12, n_heads=12, n_kv_heads=12, d_model=768)
GROUPED = Graph(n_layers=2, n_heads=4, n_kv_heads=2, d_model=8)
PARALLEL = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=8, parallel=True)


def level_of(name: str) -> tuple[int, int]:
    """Depth of a node: block, and 0 for attention or 1 for the MLP."""
    if name == "input":
        return -1, 0
    if name == "logits":
        return 10**6, 0
    return int(name[1:].split(".")[0]), int(name[0] == "m")


def comes_before(graph: Graph, source: str, destination: str) -> bool:
    """Whether an edge exists, from the names alone."""
    (block, part), (to_block, to_part) = level_of(source), level_of(destination)
    if graph.parallel:
        return block < to_block
    return (block, part) < (to_block, to_part)


@pytest.mark.parametrize(
    ("n_layers", "n_heads", "n_edges"),
    [
        pytest.param(12, 12, 32_491, id="GPT-2 small"),
        pytest.param(24, 14, 179_749, id="Qwen2.5-0.5B"),
        pytest.param(26, 8, 74_218, id="Gemma-2-2B"),
        pytest.param(32, 32, 1_592_881, id="Llama-3.1-8B"),
        pytest.param(6, 4, 1_108, id="InterpBench"),
    ],
)
def test_published_edge_counts(n_layers: int, n_heads: int, n_edges: int) -> None:
    graph = Graph(n_layers=n_layers, n_heads=n_heads, n_kv_heads=n_heads, d_model=8)
    assert graph.n_edges == n_edges
    assert graph.n_src == 1 + n_layers * (n_heads + 1)
    assert graph.n_dst == n_layers * (3 * n_heads + 1) + 1


@given(graphs())
def test_edges_are_those_that_the_names_allow(graph: Graph) -> None:
    expected = {
        f"{source}->{destination}"
        for source in graph.source_names
        for destination in graph.destination_names
        if comes_before(graph, source, destination)
    }
    found = {
        graph.edge_name(src, dst)
        for src in range(graph.n_src)
        for dst in range(graph.n_dst)
        if graph.edge_mask[src, dst]
    }
    assert found == expected
    assert graph.n_edges == len(expected) == int(graph.edge_mask.sum())


@given(graphs())
def test_every_name_round_trips(graph: Graph) -> None:
    assert [graph.source_index(name) for name in graph.source_names] == list(range(graph.n_src))
    named = [graph.destination_index(name) for name in graph.destination_names]
    assert named == list(range(graph.n_dst))
    for src in range(graph.n_src):
        for dst in range(graph.n_dst):
            name = graph.edge_name(src, dst)
            if graph.edge_mask[src, dst]:
                assert graph.edge_index(name) == (src, dst)
            else:
                with pytest.raises(UnknownNameError, match=r"There is no edge .* does not come"):
                    graph.edge_index(name)


@given(graphs())
def test_index_arithmetic_agrees_with_the_names(graph: Graph) -> None:
    sources, destinations = graph.source_names, graph.destination_names
    for layer in range(graph.n_layers):
        assert sources[graph.mlp_source(layer)] == f"m{layer}"
        assert destinations[graph.mlp_destination(layer)] == f"m{layer}"
        heads = [f"a{layer}.h{head}" for head in range(graph.n_heads)]
        assert list(sources[graph.head_slice(layer)]) == heads
        for kind in "qkv":
            n = graph.n_heads if kind == "q" else graph.n_kv_heads
            named = [f"{head}<{kind}>" for head in heads[:n]]
            assert list(destinations[graph.kind_slice(layer, kind)]) == named
        inputs = destinations[graph.attention_slice(layer)]
        assert len(inputs) == graph.destinations_per_layer - 1
        assert all(name.startswith(f"a{layer}.") for name in inputs)


@given(graphs())
def test_owners_are_the_nodes_that_read_a_destination(graph: Graph) -> None:
    group = graph.n_heads // graph.n_kv_heads
    for name, owner in zip(graph.destination_names, graph.destination_owner, strict=True):
        if name == "logits":
            assert owner == graph.n_src
            continue
        node, _, kind = name.partition("<")
        if kind[:1] in ("k", "v"):
            layer, head = node.split(".h")
            node = f"{layer}.h{int(head) * group}"
        assert graph.source_names[owner] == node


@given(graphs())
def test_sizes_round_trip_as_json(graph: Graph) -> None:
    assert Graph.from_dict(graph.to_dict()) == graph


def test_order_of_sources_and_destinations_is_that_of_eap_ig() -> None:
    assert GROUPED.source_names[:6] == ("input", "a0.h0", "a0.h1", "a0.h2", "a0.h3", "m0")
    assert GROUPED.destination_names[:9] == (
        "a0.h0<q>", "a0.h1<q>", "a0.h2<q>", "a0.h3<q>",
        "a0.h0<k>", "a0.h1<k>", "a0.h0<v>", "a0.h1<v>", "m0",
    )  # fmt: skip
    assert GROUPED.destination_names[-1] == "logits"


@pytest.mark.parametrize(
    "name",
    ["a12.h0", "a0.h12", "m12", "logits", "a0.h0<q>", "a00.h1", "a0.h01", "m01", "a²", "m٣", " m1",
     "m1\n", "m-1", ""],
)  # fmt: skip
def test_unknown_sources_are_refused(name: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        GPT2.source_index(name)
    assert str(error.value) == (
        f"Unknown source node {name!r} in a graph of 12 layers with 12 heads (12 key/value heads)."
    )


@pytest.mark.parametrize(
    "name", ["input", "a0.h2<k>", "a0.h2<v>", "a0.h0", "a0.h0<z>", "a00.h0<q>"]
)
def test_unknown_destinations_are_refused(name: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        GROUPED.destination_index(name)
    assert str(error.value) == (
        f"Unknown destination {name!r} in a graph of 2 layers with 4 heads (2 key/value heads)."
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a0.h1", "'a0.h1' is not an edge; expected 'source->destination'."),
        ("m0->a0.h1<q>", "There is no edge 'm0->a0.h1<q>': m0 does not come before a0.h1<q>."),
        ("m1->m1", "There is no edge 'm1->m1': m1 does not come before m1."),
        ("logits->m1", "Unknown source node 'logits' in a graph"),
        ("m0->m1->logits", "Unknown destination 'm1->logits' in a graph"),
    ],
)
def test_edges_that_do_not_exist_are_refused(name: str, text: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        GPT2.edge_index(name)
    assert str(error.value).startswith(text)


def test_parallel_blocks_are_named_in_the_message() -> None:
    with pytest.raises(UnknownNameError, match="attention and MLP run in parallel here"):
        PARALLEL.edge_index("a0.h0->m0")
    assert PARALLEL.edge_index("a0.h0->m1")
    with pytest.raises(UnknownNameError, match=r"key/value heads, parallel attention and MLP\)"):
        PARALLEL.source_index("m9")


@pytest.mark.parametrize("sizes", [(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, -1, 1), (1, 1, 1, 1.5)])
def test_sizes_are_positive_whole_numbers(sizes: tuple[Any, ...]) -> None:
    names = ("n_layers", "n_heads", "n_kv_heads", "d_model")
    with pytest.raises(OptionError, match="A graph needs positive whole sizes, got Graph"):
        Graph(**dict(zip(names, sizes, strict=True)))


def test_heads_share_key_value_heads_evenly() -> None:
    with pytest.raises(OptionError, match="3 heads cannot share 2 key/value heads evenly"):
        Graph(n_layers=1, n_heads=3, n_kv_heads=2, d_model=4)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"n_layers": None}, "must be whole numbers"),
        ({"n_heads": 2.0}, "must be whole numbers"),
        ({"d_model": True}, "must be whole numbers"),
        ({"parallel": 1}, "must be whole numbers"),
        ({"more": 1}, "Expected graph sizes"),
        ({"n_layers": 0}, "A graph needs positive whole sizes"),
        ({"n_kv_heads": 3}, "4 heads cannot share 3 key/value heads"),
    ],
)
def test_damaged_sizes_are_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(CircuitFileError, match=text):
        Graph.from_dict({**GROUPED.to_dict(), **change})


@pytest.mark.parametrize("data", [None, [], "graph", {}, {"n_layers": 2}])
def test_sizes_of_another_shape_are_refused(data: object) -> None:
    with pytest.raises(CircuitFileError, match="Expected graph sizes"):
        Graph.from_dict(data)
