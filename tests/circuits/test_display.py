"""What notebooks show of scores and circuits: names found, frames complete, text escaped."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers.random_graphs import circuits, scores
from hypothesis import given, settings

from harness_circuits.circuits import Circuit, Graph, Scores, ScoreSpace
from harness_circuits.circuits.display import MOST_CELLS, map_html
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import UnknownNameError
from harness_circuits.evaluation.strongest import strongest_units

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4)


@settings(max_examples=25, deadline=None)
@given(scores())
def test_scores_are_found_by_name_and_in_frames(found: Scores) -> None:
    everything = found.to_frame()
    assert len(everything) == found.space.n_units
    for name, score in everything["score"].items():
        assert found[str(name)] == score
    top = found.top(3)
    assert list(top["score"].abs()) == sorted(everything["score"].abs(), reverse=True)[:3]
    assert all(everything.loc[name, "score"] == row.score for name, row in top.iterrows())
    assert len(repr(found)) < 150 and "\n" not in repr(found)
    assert found._repr_html_().count("<table") in (2, 3)


@settings(max_examples=25, deadline=None)
@given(circuits())
def test_circuits_have_frames_of_their_units_and_edges(found: Circuit) -> None:
    frame, edges = found.to_frame(), found.edges_frame()
    assert (len(frame), len(edges)) == (found.n_kept, int(found.edges.sum()))
    assert all(str(name) in found for name in frame.index)
    again = Circuit.of_edges(found.space.graph, list(edges.index))
    assert (again.kept == found.edges).all()
    assert len(repr(found)) < 100
    assert "<table" in found._repr_html_()


def test_edges_over_spans_are_told_apart() -> None:
    spans = Spans.of([["IO", "S1", "END"]])
    space = ScoreSpace(GRAPH, "edge", spans)
    found = Scores(space, np.where(space.real, np.arange(space.real.size).reshape(space.shape), 0))
    frame = found.to_frame()
    assert len(frame) == space.n_units and set(frame["span"]) == set(spans.names)
    assert all(found[str(name)] == score for name, score in frame["score"].items())
    assert found.by_node().values.sum() == found.values.sum()
    strongest = strongest_units(found, ("full", Circuit.full(ScoreSpace(GRAPH))))
    assert all(unit.known for unit in strongest.units)
    assert "<table" in found._repr_html_() and "@" in found._repr_html_()


@pytest.mark.parametrize(
    ("level", "name"),
    [
        ("edge", "a0.h0"),
        ("edge", "m1->m0"),
        ("node", "input->m0"),
        ("neuron", "a0.h0"),
        ("neuron", "a0.h0[4]"),
        ("neuron", "a0.h0[\u0663]"),
        ("neuron", "a0.h0[" + "9" * 5000 + "]"),
        ("node", "a7.h0"),
    ],
)
def test_units_that_are_not_there_are_named(level: str, name: str) -> None:
    space = ScoreSpace(GRAPH, level)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError) as raised:
        Scores(space, np.zeros(space.shape))[name]
    assert len(str(raised.value)) < 450


def test_names_from_files_are_escaped() -> None:
    space = ScoreSpace(GRAPH)
    hostile = Scores(space, np.zeros(space.shape), {"method": "<script>alert(1)</script>"})
    assert "<script" not in hostile._repr_html_()
    assert "&lt;script&gt;" in hostile._repr_html_()


def test_a_map_has_a_cell_per_node_and_large_models_have_none() -> None:
    cells = re.findall(r'title="([^"]+): ', map_html(GRAPH, np.linspace(-1, 1, 7), "x"))
    assert sorted(cells) == sorted(GRAPH.source_names[1:])
    large = Graph(n_layers=100, n_heads=MOST_CELLS // 100, n_kv_heads=1, d_model=4)
    assert map_html(large, np.zeros(large.n_src), "x") == ""
