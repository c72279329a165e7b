"""What a file of others means: scores or a circuit, at which level."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.eapig_files import GRAPH, plain_pt, random_circuit, random_scores, same, without_note

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats import load_circuit_file, save_circuit_file


def test_scores_win_over_membership_that_eapig_left_in(tmp_path: Path) -> None:
    scores, kept = random_scores("edge"), random_circuit("edge").kept
    same(load_circuit_file(plain_pt(tmp_path, scores, edges_in_graph=torch.tensor(kept))), scores)


def test_a_binary_file_needs_no_scores(tmp_path: Path) -> None:
    circuit = random_circuit("edge")
    same(load_circuit_file(plain_pt(tmp_path, circuit, edges_scores=None)), circuit)
    path = without_note(save_circuit_file(tmp_path / "x.json", circuit))
    data = json.loads(path.read_text())
    data["edges"] = {name: {"in_graph": True} for name, e in data["edges"].items() if e["in_graph"]}
    path.write_text(json.dumps(data))
    same(load_circuit_file(path, GRAPH), circuit)


def test_node_circuit_without_edges(tmp_path: Path) -> None:
    circuit = random_circuit("node")
    path = plain_pt(tmp_path, circuit, edges_in_graph=torch.zeros(7, 15, dtype=torch.bool))
    same(load_circuit_file(path), circuit)


def test_membership_and_scores_where_no_edge_is_are_ignored(tmp_path: Path) -> None:
    scores = random_scores("edge")
    noisy = torch.tensor(np.where(scores.space.real, scores.values, np.nan))
    same(load_circuit_file(plain_pt(tmp_path, scores, edges_scores=noisy)), scores)
    circuit = random_circuit("node")
    every = torch.tensor(circuit.nodes)[:, None].expand(7, 15)  # EAP-IG's node-level top-n
    found = load_circuit_file(plain_pt(tmp_path, circuit, edges_in_graph=every.contiguous()))
    assert isinstance(found, Circuit)
    np.testing.assert_array_equal(found.kept, circuit.edges)


def test_nodes_never_scored_are_absent(tmp_path: Path) -> None:
    scores = random_scores("edge")
    nan = torch.full((7,), torch.nan)
    same(load_circuit_file(plain_pt(tmp_path, scores, nodes_scores=nan)), scores)
    nan[3] = 0.5
    node_only = plain_pt(tmp_path, scores, nodes_scores=nan, edges_scores=torch.zeros(7, 15))
    with pytest.raises(CircuitFileError, match=r"the score of input is nan, and 5 more of 7 node"):
        load_circuit_file(node_only)


def test_several_levels_of_scores_are_ambiguous(tmp_path: Path) -> None:
    path = plain_pt(tmp_path, random_scores("edge"), nodes_scores=torch.ones(7))
    with pytest.raises(CircuitFileError, match=r"scores at several levels \(edge, node\)"):
        load_circuit_file(path)


def test_nothing_scored_and_nothing_kept_is_nothing(tmp_path: Path) -> None:
    path = plain_pt(tmp_path, Circuit.empty(ScoreSpace(GRAPH)))
    with pytest.raises(CircuitFileError, match="all scores are zero and nothing is kept"):
        load_circuit_file(path)


def test_neurons_and_edges_together_are_refused(tmp_path: Path) -> None:
    circuit = Circuit.full(ScoreSpace(GRAPH, "neuron"))
    edges = torch.tensor(GRAPH.edge_mask.copy())
    edges[GRAPH.edge_index("m0->a1.h0<q>")] = False
    with pytest.raises(
        CircuitFileError, match=r"restricts edges as well as neurons \(m0->a1.h0<q>"
    ):
        load_circuit_file(plain_pt(tmp_path, circuit, edges_in_graph=edges))
