"""Greedy growth against EAP-IG's masks and a naive loop."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.parity_fixtures import (
    ARCHITECTURES,
    arrays,
    needs_parity,
    parity_batches,
    parity_model,
)
from helpers.selection_cases import Case, cases, random_scores
from hypothesis import given, settings

from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.selection import select
from harness_circuits.selection.greedy import greedy, greedy_order
from harness_circuits.selection.selectors import ranked


def node_of(destination: str) -> str:
    return destination.split("<")[0]


def grow(case: Case, n: int) -> set[int]:
    """EAP-IG's rule, written out: scan all edges for the best one that fits, n times."""
    graph = case.scores.space.graph
    readers: dict[int, set[str]] = {}
    group = graph.n_heads // graph.n_kv_heads
    for dst, name in enumerate(graph.destination_names):
        node = node_of(name)
        if name.endswith(("<k>", "<v>")):
            layer, head = node.split(".h")
            readers[dst] = {f"{layer}.h{int(head) * group + i}" for i in range(group)}
        else:
            readers[dst] = {node}
    nodes, taken = {"logits"}, set[int]()
    for _ in range(n):
        able = [
            (-value, unit)
            for unit, value in case.values.items()
            if unit not in taken and readers[unit % graph.n_dst] & nodes
        ]
        _, best = min(able)
        taken.add(best)
        nodes.add(graph.source_names[best // graph.n_dst])
    return taken


@settings(max_examples=60, deadline=None)
@given(case=cases(("edge",), most_layers=2, most_heads=2))
def test_greedy_is_the_naive_loop(case: Case) -> None:
    circuits = greedy(case.scores, case.counts, case.ranking)
    for circuit, n in zip(circuits, case.counts, strict=True):
        assert set(np.flatnonzero(circuit.kept).tolist()) == grow(case, n)


@settings(max_examples=30, deadline=None)
@given(case=cases(("edge",)))
def test_every_edge_is_added_once_below_a_node_of_the_circuit(case: Case) -> None:
    graph = case.scores.space.graph
    order = greedy_order(graph, ranked(case.scores, case.ranking))
    np.testing.assert_array_equal(np.sort(order), np.flatnonzero(graph.edge_mask))
    for circuit in greedy(case.scores, case.counts, case.ranking):
        kept, from_input = circuit.kept, np.arange(graph.n_src)[:, None] == 0
        fed = Circuit(circuit.space, kept | (from_input & graph.edge_mask))
        # once the input feeds everything, nothing that greedy growth took is a dead end
        assert not (kept & ~fed.prune().kept).any()


def check_masks(scores: Scores, reference: dict[str, np.ndarray], selection: str) -> None:
    for ranking in ("abs", "signed"):
        names = [
            f"{selection.replace('-', '')}_{ranking}_{percent}" for percent in (5, 20, 50, 100)
        ]
        counts = [int(reference[f"n_{name}"]) for name in names]
        by = Ranking.ABSOLUTE if ranking == "abs" else Ranking.SIGNED
        circuits = select(
            scores,
            counts,
            selection,
            ranking=by,
        )
        for circuit, name in zip(circuits, names, strict=True):
            np.testing.assert_array_equal(circuit.kept, reference[f"mask_{name}"], err_msg=name)


@needs_parity
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("selection", ["greedy", "top-n"])
def test_masks_of_the_reference_scores_are_those_of_eap_ig(
    architecture: str, selection: str
) -> None:
    reference = arrays(architecture)
    graph = Graph(
        n_layers=sum(name.startswith("m") for name in reference["src_nodes"].tolist()),
        n_heads=4,
        n_kv_heads=4,
        d_model=32,
        parallel=architecture == "gpt_neox",
    )
    np.testing.assert_array_equal(graph.edge_mask, reference["real_edge_mask"])
    values = reference["edge_EAP_IG_inputs"].astype(np.float64)
    check_masks(Scores(ScoreSpace(graph), values), reference, selection)


@needs_parity
@pytest.mark.parametrize("architecture", ARCHITECTURES[:3])
@pytest.mark.parametrize("selection", ["greedy", "top-n"])
def test_masks_of_our_scores_are_those_of_eap_ig(architecture: str, selection: str) -> None:
    reference = arrays(architecture)
    batches = parity_batches(architecture)
    job = Job(parity_model(architecture), batches, METRICS.get("logit_diff"))
    check_masks(attribute(job, "EAP-IG-inputs"), reference, selection)


def test_a_graph_of_over_a_million_edges_is_ordered_completely() -> None:
    graph = Graph(n_layers=32, n_heads=32, n_kv_heads=32, d_model=1)
    order = ranked(random_scores(graph), ranking=Ranking.ABSOLUTE)
    taken = greedy_order(graph, order)
    assert len(taken) == graph.n_edges == 1_592_881
    np.testing.assert_array_equal(np.bincount(taken)[graph.edge_mask.ravel()], 1)
