"""Files as EAP-IG and MIB write and read them: keys, order, quirks, and what a file means."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import parity_fixtures

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import LEVELS, Level, Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats import load_circuit_file, save_circuit_file
from harness_circuits.formats.eapig_json import edge_order

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=3)
GROUPED = replace(GRAPH, n_heads=4, n_kv_heads=2)
CFG = {"n_layers": 2, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 3}
SUFFIXES = [".json", ".pt"]


def random_scores(level: Level, graph: Graph = GRAPH) -> Scores:
    space = ScoreSpace(graph, level)
    values = np.random.default_rng(0).standard_normal(space.shape).astype(np.float32)
    return Scores(space, values * space.real)


def random_circuit(level: Level, graph: Graph = GRAPH, share: float = 0.6) -> Circuit:
    space = ScoreSpace(graph, level)
    return Circuit(space, (np.random.default_rng(1).random(space.shape) < share) & space.real)


def without_note(path: Path) -> Path:
    """The file as EAP-IG would have written it, without our own entry."""
    if path.suffix == ".json":
        data = json.loads(path.read_text())
        del data["harness_circuits"]
        path.write_text(json.dumps(data))
    else:
        data = torch.load(path, weights_only=True)
        del data["harness_circuits"]
        torch.save(data, path)
    return path


def same(found: Scores | Circuit, expected: Scores | Circuit) -> None:
    assert type(found) is type(expected)
    assert found.space == expected.space
    for name in ("values", "kept"):
        if hasattr(expected, name):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


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
@pytest.mark.parametrize("level", LEVELS)
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


def edit(path: Path, **changes: Any) -> Path:
    data = torch.load(path, weights_only=True)
    data.update(changes)
    torch.save({key: value for key, value in data.items() if value is not None}, path)
    return path


def plain_pt(folder: Path, item: Scores | Circuit, **changes: Any) -> Path:
    return edit(save_circuit_file(folder / "x.pt", item), harness_circuits=None, **changes)


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_scores_of_other_precisions(tmp_path: Path, dtype: torch.dtype) -> None:
    scores = random_scores("edge")
    values = torch.tensor(scores.values).to(dtype)
    found = load_circuit_file(plain_pt(tmp_path, scores, edges_scores=values))
    assert isinstance(found, Scores)
    np.testing.assert_array_equal(found.values, values.double().numpy())


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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_grouped_circuits_expand_and_come_back(tmp_path: Path, suffix: str) -> None:
    circuit = random_circuit("edge", GROUPED)
    path = save_circuit_file(tmp_path / f"x{suffix}", circuit)
    wide = load_circuit_file(path)
    assert isinstance(wide, Circuit)
    assert wide.space.graph == replace(GROUPED, n_kv_heads=4)
    for name in GROUPED.destination_names:
        head, sign, kind = name.partition("<")
        column = circuit.kept[:, GROUPED.destination_index(name)]
        layer, _, index = head.partition(".h")
        twins = [name] if not sign or kind == "q>" else []
        twins = twins or [f"{layer}.h{2 * int(index) + i}<{kind}" for i in (0, 1)]
        for twin in twins:
            at = wide.space.graph.destination_index(twin)
            np.testing.assert_array_equal(wide.kept[:, at], column)
    same(load_circuit_file(path, GROUPED), circuit)
    for level in ("node", "neuron"):
        item = random_scores(level, GROUPED)
        same(load_circuit_file(save_circuit_file(path, item), GROUPED), item)


def test_grouped_edge_scores_have_no_place_in_eapigs_format(tmp_path: Path) -> None:
    with pytest.raises(CircuitFileError, match="Score with kv_heads=ungrouped, or write the circ"):
        save_circuit_file(tmp_path / "x.json", random_scores("edge", GROUPED))
    scores = random_scores("edge", replace(GROUPED, n_kv_heads=4))
    path = save_circuit_file(tmp_path / "x.json", scores)
    with pytest.raises(CircuitFileError, match="for 4 key/value heads per layer, this model's"):
        load_circuit_file(path, GROUPED)


def test_a_circuit_that_splits_a_group_does_not_fit_grouped_heads(tmp_path: Path) -> None:
    circuit = Circuit.of_edges(replace(GROUPED, n_kv_heads=4), ["input->a0.h2<k>"])
    path = save_circuit_file(tmp_path / "x.pt", circuit)
    with pytest.raises(CircuitFileError, match=r"does not treat the query heads of a group alike"):
        load_circuit_file(path, GROUPED)
