"""Drawings of circuits over spans: a column per span, lines between columns into keys and values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import OptionError
from harness_circuits.report.draw import draw
from harness_circuits.report.drawing.any_level import lay_out_any, n_drawn

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=8)
SPACE = ScoreSpace(GRAPH, "edge", Spans.of([["S1", "S2", "END"]]))
NAMES = ("input->m0@S1", "m0->a1.h0<k>@S1", "input->a1.h0<q>@END", "a1.h0->logits@END")


def circuit() -> Circuit:
    kept = np.zeros(SPACE.shape, dtype=bool)
    for at in np.argwhere(SPACE.real):
        kept[tuple(at)] = SPACE.unit_name(*at) in NAMES
    return Circuit(SPACE, kept)


def test_keys_lead_from_column_to_column() -> None:
    drawing = lay_out_any(circuit())
    ends = {(e.source.full_name, e.target.full_name, e.kind) for e in drawing.edges}
    assert ends == {
        ("input@S1", "m0@S1", "mlp"),
        ("m0@S1", "a1.h0@END", "k"),
        ("input@END", "a1.h0@END", "q"),
        ("a1.h0@END", "logits@END", "logits"),
    }
    assert [name for _, name in drawing.columns] == ["S1", "END"]
    middles = dict((name, x) for x, name in drawing.columns)
    for node in drawing.nodes:
        assert abs(node.x - middles[node.span]) < 0.5
    assert all(edge.source.y < edge.target.y for edge in drawing.edges)
    assert n_drawn(circuit()) == drawing.n_edges == 4


def test_crossing_edges_are_arrows_from_key_to_query_column() -> None:
    space = ScoreSpace(GRAPH, "edge", replace(Spans.of([["S1", "S2", "END"]]), crossing=True))
    names = (*NAMES, "a1.h0<k>@S1->END", "a1.h0<q>@END->END")
    kept = np.zeros(space.shape, dtype=bool)
    for name in names:
        kept[space.unit_index(name)] = True
    drawing = lay_out_any(Circuit(space, kept), Scores(space, kept * 1.0))
    ends = {(e.source.full_name, e.target.full_name, e.kind) for e in drawing.edges}
    assert ends == {
        ("input@S1", "m0@S1", "mlp"),
        ("m0@S1", "a1.h0@S1", "k"),
        ("a1.h0@S1", "a1.h0@END", "k"),
        ("input@END", "a1.h0@END", "q"),
        ("a1.h0@END", "logits@END", "logits"),
    }
    (arrow,) = (edge for edge in drawing.edges if edge.is_crossing)
    assert arrow.names == ("a1.h0<k>@S1->END",)
    assert drawing.n_edges == len(names)
    assert "label=k" in draw(drawing, ".dot").decode()
    assert draw(drawing, ".png")[:4] == b"\x89PNG"


def test_every_kind_of_file_has_the_columns() -> None:
    values = np.random.default_rng(0).normal(size=SPACE.shape) * SPACE.real
    drawing = lay_out_any(circuit(), Scores(SPACE, values))
    assert drawing.scored and max(edge.strength for edge in drawing.edges) == 1
    for suffix in (".svg", ".dot"):
        text = draw(drawing, suffix, "title").decode()
        assert "S1" in text and "END" in text
    assert draw(drawing, ".png")[:4] == b"\x89PNG"


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(OptionError, match="1 to 2000 edges, this circuit has 0"):
        lay_out_any(Circuit.empty(SPACE))
    with pytest.raises(OptionError, match="--merge is for circuits without spans"):
        lay_out_any(circuit(), merge=True)
    plain = Scores(ScoreSpace(GRAPH), np.ones((GRAPH.n_src, GRAPH.n_dst)))
    with pytest.raises(OptionError, match="own graph and spans"):
        lay_out_any(circuit(), plain)
