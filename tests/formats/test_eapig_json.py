"""Files as EAP-IG and MIB write and read them: keys, order, quirks, and what a file means."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import parity_fixtures
from helpers.eapig_files import GRAPH, plain_pt, random_circuit, random_scores, same, without_note

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import GRAPH_LEVELS, Level, Scores
from harness_circuits.formats import load_circuit_file, save_circuit_file
from harness_circuits.formats.eapig_json import edge_order

CFG = {"n_layers": 2, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 3}
SUFFIXES = [".json", ".pt"]


def test_json_has_eapigs_keys_in_eapigs_order(tmp_path: Path) -> None:
    path = save_circuit_file(tmp_path / "x.json", random_circuit("edge"))
    data = json.loads(path.read_text())
    assert list(data) == ["cfg", "nodes", "edges", "harness_circuits"]
    assert data["cfg"] == CFG
    assert list(data["nodes"]) == [
        "input",
        "a0.h0",
        "a0.h1",
        "m0",
        "a1.h0",
        "a1.h1",
        "m1",
        "logits",
    ]
    assert all(set(node) == {"in_graph"} for node in data["nodes"].values())
    assert len(data["edges"]) == GRAPH.n_edges
    assert all(set(edge) == {"score", "in_graph"} for edge in data["edges"].values())
    assert list(data["edges"])[:8] == [
        *(f"input->a0.h{head}<{kind}>" for head in (0, 1) for kind in "qkv"),
        "input->m0",
        "a0.h0->m0",
    ]
    assert list(data["edges"])[-1] == "m1->logits"


@parity_fixtures.needs_parity
@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox"])
def test_edges_are_in_the_reference_order(architecture: str) -> None:
    arrays = parity_fixtures.arrays(architecture)
    n_layers = sum(name.startswith("m") for name in arrays["src_nodes"])
    graph = Graph(
        n_layers=n_layers, n_heads=4, n_kv_heads=4, d_model=32, parallel=architecture == "gpt_neox"
    )
    assert [graph.edge_name(*at) for at in edge_order(graph)] == arrays["edge_names"].tolist()
    np.testing.assert_array_equal(list(edge_order(graph)), arrays["edge_index"])
    assert list(graph.source_names) == arrays["src_nodes"].tolist()
    assert list(graph.destination_names) == arrays["dst_nodes"].tolist()


def test_pt_has_eapigs_keys_types_and_order(tmp_path: Path) -> None:
    path = save_circuit_file(tmp_path / "x.pt", random_scores("neuron"))
    data = torch.load(path, weights_only=True)
    assert data["cfg"] == CFG
    assert data["src_nodes"] == ["input", "a0.h0", "a0.h1", "m0", "a1.h0", "a1.h1", "m1"]
    assert data["dst_nodes"][:7] == [*(f"a0.h{h}<{k}>" for k in "qkv" for h in (0, 1)), "m0"]
    assert data["dst_nodes"][-1] == "logits"
    found = {name: (x.dtype, tuple(x.shape)) for name, x in data.items() if torch.is_tensor(x)}
    assert found == {
        "edges_scores": (torch.float32, (7, 15)),
        "edges_in_graph": (torch.bool, (7, 15)),
        "nodes_in_graph": (torch.bool, (7,)),
        "neurons_scores": (torch.float32, (7, 3)),
        "neurons_in_graph": (torch.bool, (7, 3)),
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_files_of_others_are_understood(tmp_path: Path, suffix: str, level: Level) -> None:
    for item in (random_scores(level), random_circuit(level)):
        path = without_note(save_circuit_file(tmp_path / f"x{suffix}", item))
        found = load_circuit_file(path, GRAPH)
        if isinstance(item, Circuit) and level == "node":  # the same as an edge circuit
            assert isinstance(found, Circuit)
            np.testing.assert_array_equal(found.prune().nodes, item.prune().nodes)
        else:
            same(found, item)


def test_a_file_says_its_scale_and_its_source(tmp_path: Path) -> None:
    path = save_circuit_file(tmp_path / "x.json", random_scores("edge").describe(method="EAP"))
    note = json.loads(path.read_text())["harness_circuits"]
    assert "divided by the number of examples once more" in note["scale"]
    assert note["provenance"] == {"method": "EAP"}
    assert (note["content"], note["level"]) == ("scores", "edge")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_scores_of_other_precisions(tmp_path: Path, dtype: torch.dtype) -> None:
    scores = random_scores("edge")
    values = torch.tensor(scores.values).to(dtype)
    found = load_circuit_file(plain_pt(tmp_path, scores, edges_scores=values))
    assert isinstance(found, Scores)
    np.testing.assert_array_equal(found.values, values.double().numpy())


def test_neurons_flat_or_per_head_or_at_the_top(tmp_path: Path) -> None:
    circuit = random_circuit("neuron")
    path = without_note(save_circuit_file(tmp_path / "x.json", circuit))
    data = json.loads(path.read_text())
    assert data["nodes"]["a1.h1"]["neurons"] == circuit.kept[4:6].tolist()  # all heads, as EAP-IG
    for index, name in enumerate(GRAPH.source_names):
        data["nodes"][name]["neurons"] = circuit.kept[index].tolist()
    path.write_text(json.dumps(data))
    same(load_circuit_file(path, GRAPH), circuit)
    neurons = {name: data["nodes"][name]["neurons"] for name in GRAPH.source_names}
    nodes = {name: node["in_graph"] for name, node in data["nodes"].items()}
    path.write_text(json.dumps({**data, "nodes": nodes, "neurons": neurons}))
    same(load_circuit_file(path, GRAPH), circuit)
