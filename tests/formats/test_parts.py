"""A file with scores and a circuit: what is read is said and can be chosen, and both are written."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import GRAPH_LEVELS, Level, Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError, UnknownNameError
from harness_circuits.formats import load_circuit_file, save_circuit_file
from harness_circuits.formats.parts import FIRST_TOKEN
from harness_circuits.selection import select

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=3)
GROUPED = replace(GRAPH, n_heads=4, n_kv_heads=2)
SUFFIXES = [".json", ".pt", ".safetensors"]


def random_scores(level: Level = "edge", graph: Graph = GRAPH) -> Scores:
    space = ScoreSpace(graph, level)
    values = np.random.default_rng(0).standard_normal(space.shape).astype(np.float32)
    return Scores(space, values * space.real, {"method": "EAP"})


def with_circuit(level: Level, of: Level | None = None, graph: Graph = GRAPH) -> Scores:
    """Scores with the best half of the units of a level, connected as EAP-IG prunes them."""
    marked = random_scores(of or level, graph)
    marked.values[0] = abs(marked.values[0]) + 1  # the input is kept, which all else hangs on
    marked.values[~marked.space.real] = 0
    (circuit,) = select(marked, [marked.space.n_units // 2], ranking=Ranking.SIGNED)
    return replace(random_scores(level, graph), circuit=circuit)


def as_eapig_writes(path: Path) -> Path:
    """The same file without our own entry."""
    if path.suffix == ".json":
        data = json.loads(path.read_text())
        del data["harness_circuits"]
        path.write_text(json.dumps(data))
    elif path.suffix == ".pt":
        data = torch.load(path, weights_only=True)
        del data["harness_circuits"]
        torch.save(data, path)
    return path


def assert_same(found: Scores | Circuit, expected: Scores | Circuit | None) -> None:
    assert expected is not None
    assert (type(found), found.space) == (type(expected), expected.space)
    if isinstance(found, Circuit):
        assert isinstance(expected, Circuit)
        np.testing.assert_array_equal(found.kept, expected.kept)
    else:
        assert isinstance(expected, Scores)
        np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_both_come_back_and_either_can_be_chosen(
    tmp_path: Path, level: Level, suffix: str, own: bool, caplog: pytest.LogCaptureFixture
) -> None:
    scores = with_circuit(level)
    assert scores.circuit is not None
    path = save_circuit_file(tmp_path / f"x{suffix}", scores)
    if not own:
        path = as_eapig_writes(path)
    chosen = load_circuit_file(f"{path}#in_graph", GRAPH)
    alone = load_circuit_file(f"{path}#scores", GRAPH)
    assert isinstance(alone, Scores) and alone.circuit is None
    assert_same(alone, scores)
    told = [text for text in caplog.messages if FIRST_TOKEN in text]
    assert caplog.messages == told
    assert len(told) == (0 if own or suffix == ".safetensors" else 2)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        found = load_circuit_file(path, GRAPH)
    assert isinstance(found, Scores) and found.circuit is not None
    assert_same(found, scores)
    assert_same(chosen, found.circuit)
    if own or level != "node" or suffix == ".safetensors":
        assert_same(chosen, scores.circuit)
    else:  # in EAP-IG's own files the edges of a node circuit are marked too, and say the same
        np.testing.assert_array_equal(
            chosen.edges,
            scores.circuit.edges & scores.circuit.into_kept,  # type: ignore[union-attr]
        )
    n, space = found.circuit.n_kept, found.circuit.space
    assert (
        f"{n} of {space.n_units} {space.level}s are marked in_graph; the file has scores, which are "
        f"used: circuit={path}#in_graph evaluates the {n} {space.level}s"
    ) in caplog.messages[0]
    assert len(caplog.messages) == 1 + bool(told)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_read_is_written_with_its_circuit(tmp_path: Path, suffix: str) -> None:
    scores = with_circuit("neuron", "edge")
    path = save_circuit_file(tmp_path / f"x{suffix}", scores)
    for at, other in enumerate(SUFFIXES):
        found = load_circuit_file(path, GRAPH)
        path = save_circuit_file(tmp_path / f"{at}{other}", found)
        assert_same(load_circuit_file(f"{path}#in_graph", GRAPH), scores.circuit)
        assert_same(load_circuit_file(f"{path}#scores", GRAPH), scores)


def test_eapigs_flags_are_written(tmp_path: Path) -> None:
    scores = with_circuit("edge")
    assert scores.circuit is not None
    data = json.loads(save_circuit_file(tmp_path / "x.json", scores).read_text())
    for name, entry in data["edges"].items():
        at = GRAPH.edge_index(name)
        assert entry["in_graph"] is bool(scores.circuit.kept[at])
        assert entry["score"] == float(scores.values[at])
    saved = torch.load(save_circuit_file(tmp_path / "x.pt", scores), weights_only=True)
    np.testing.assert_array_equal(saved["edges_in_graph"].numpy(), scores.circuit.kept)
    np.testing.assert_array_equal(saved["edges_scores"].numpy(), scores.values)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_a_circuit_nothing_is_said(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = save_circuit_file(tmp_path / f"x{suffix}", random_scores())
    found = load_circuit_file(path, GRAPH)
    assert isinstance(found, Scores) and found.circuit is None
    assert caplog.records == []
    with pytest.raises(UnknownNameError, match=r"NAME being one of scores \(got 'in_graph'\)"):
        load_circuit_file(f"{path}#in_graph", GRAPH)
    circuit = save_circuit_file(tmp_path / f"y{suffix}", Circuit.full(ScoreSpace(GRAPH)))
    with pytest.raises(UnknownNameError, match=r"\(got 'scores'\)"):
        load_circuit_file(f"{circuit}#scores", GRAPH)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_over_grouped_heads_the_circuit_stays_as_it_was_written(
    tmp_path: Path, suffix: str
) -> None:
    scores = with_circuit("node", "edge", GROUPED)
    path = save_circuit_file(tmp_path / f"x{suffix}", scores)
    found = load_circuit_file(path, GROUPED)
    assert isinstance(found, Scores) and found.circuit is not None
    assert_same(found, scores)
    again = save_circuit_file(tmp_path / f"y{suffix}", found)
    assert_same(load_circuit_file(f"{again}#in_graph", GROUPED), scores.circuit)
    native = save_circuit_file(tmp_path / "z.safetensors", found)
    assert_same(load_circuit_file(f"{native}#in_graph", GROUPED), scores.circuit)


def test_flags_that_contradict_each_other_leave_the_scores_readable(tmp_path: Path) -> None:
    path = as_eapig_writes(save_circuit_file(tmp_path / "x.pt", with_circuit("edge")))
    data = torch.load(path, weights_only=True)
    shape = (GRAPH.n_src, GRAPH.d_model)
    torch.save({**data, "neurons_in_graph": torch.ones(shape, dtype=torch.bool)}, path)
    with pytest.raises(CircuitFileError, match=r"restricts edges .*x.pt#scores reads its scores"):
        load_circuit_file(path, GRAPH)
    assert_same(load_circuit_file(f"{path}#scores", GRAPH), with_circuit("edge"))
