"""The compact view of circuits: what it keeps, and files that are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import CircuitFileError
from harness_circuits.records.circuit_view import CircuitView, read_view
from harness_circuits.selection import select

SPACE = ScoreSpace(Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=8), "edge")
SIZES = (5, 12, SPACE.n_units)


def made(most: int = 150) -> tuple[Scores, dict[str, Circuit], CircuitView]:
    values = np.random.default_rng(0).normal(size=SPACE.shape)
    scores = Scores(SPACE, np.where(SPACE.real, values, 0.0))
    chosen = select(scores, SIZES, "top-n", ranking=Ranking.ABSOLUTE)
    circuits = {str(n): circuit for n, circuit in zip(SIZES, chosen, strict=True)}
    return scores, circuits, CircuitView.of({"absolute": circuits}, scores, most)


def test_every_edge_of_small_circuits_is_kept_with_its_sizes(tmp_path: Path) -> None:
    scores, circuits, view = made()
    (tmp_path / "view.json").write_text(view.to_json())
    read = read_view(tmp_path / "view.json")
    assert read.graph == SPACE.graph and read.series == view.series
    for bit, circuit in enumerate(circuits.values()):
        kept = np.zeros(SPACE.shape, dtype=bool)
        for edge in read.edges:
            kept[edge.source, edge.destination] = bit in edge.sizes["absolute"]
        np.testing.assert_array_equal(kept, circuit.kept)
    for edge in read.edges:
        assert edge.score == pytest.approx(scores.values[edge.source, edge.destination], rel=1e-3)


def test_of_large_circuits_the_strongest_edges_are_kept() -> None:
    scores, circuits, view = made(most=4)
    last = [e for e in view.edges if 2 in e.sizes["absolute"]]
    assert len(last) == 4 and view.series["absolute"][str(SPACE.n_units)] == SPACE.n_units
    strongest = sorted(np.abs(scores.values[circuits[str(SPACE.n_units)].kept]))[-4:]
    assert sorted(abs(e.score or 0) for e in last) == pytest.approx(strongest)


def test_a_view_with_fewer_edges_is_what_was_kept_in_the_first_place() -> None:
    for most in (1, 4, 7, 150):
        thinned = made()[2].strongest(most)
        assert thinned == made(most)[2]


@pytest.mark.parametrize("level", ["node", "mlp-neuron"])
def test_other_levels(level: Any, tmp_path: Path) -> None:
    graph = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=8, d_mlp=6)
    space = ScoreSpace(graph, level)
    scores = Scores(
        space, np.where(space.real, np.arange(1.0, space.real.size + 1).reshape(space.shape), 0)
    )
    full = Circuit.full(space)
    view = CircuitView.of({"signed": {"1": full}}, scores)
    (tmp_path / "view.json").write_text(view.to_json())
    read = read_view(tmp_path / "view.json")
    assert len(read.edges) == (graph.n_edges if level == "node" else space.n_units)
    assert dict(read.nodes) == (dict(enumerate(scores.values)) if level == "node" else {})


def test_over_spans_an_edge_is_one_that_is_kept_somewhere() -> None:
    spans = Spans.of([["S", "END"]])
    space = ScoreSpace(SPACE.graph, "edge", spans)
    values = np.where(space.real, np.random.default_rng(1).normal(size=space.shape), 0.0)
    (circuit,) = select(Scores(space, values), [20], "top-n", ranking=Ranking.ABSOLUTE)
    view = CircuitView.of({"absolute": {"20": circuit}}, Scores(space, values))
    assert view.spans == 2 and len(view.edges) == int(circuit.kept.any(axis=0).sum())
    crossing = ScoreSpace(SPACE.graph, "edge", replace(spans, crossing=True))
    more = CircuitView.of({"a": {"1": Circuit.full(crossing)}})
    assert more.crossing and not view.crossing
    assert len(more.edges) == int(Circuit.full(crossing).edges.sum())
    for edge in view.edges:
        summed = values[:, edge.source, edge.destination].sum()
        assert edge.score == pytest.approx(summed)


PLAIN = json.loads(made()[2].to_json())


@given(
    key=st.sampled_from(sorted(PLAIN)),
    value=st.recursive(
        st.none() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=6,
    ),
)
def test_a_hostile_file_is_refused_in_one_line(tmp_path_factory: Any, key: str, value: Any) -> None:
    path = tmp_path_factory.mktemp("view") / "view.json"
    path.write_text(json.dumps({**PLAIN, key: value}))
    try:
        read_view(path)
    except CircuitFileError as error:
        assert "\n" not in str(error) and len(str(error)) < 700


@pytest.mark.parametrize(
    "row", [[0, 99, 1.0, {}], [0, 0, 1.0, {"absolute": [3]}], [1, 0, 1.0, {}], [0]]
)
def test_an_edge_that_is_none_is_refused(row: list[Any], tmp_path: Path) -> None:
    (tmp_path / "view.json").write_text(json.dumps({**PLAIN, "edges": [row]}))
    with pytest.raises(CircuitFileError):
        read_view(tmp_path / "view.json")
