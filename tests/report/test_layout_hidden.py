"""Drawings of circuits of hidden units: a summary by layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.formats import save_circuit_file
from harness_circuits.report.draw import draw, read_drawing
from harness_circuits.report.drawing.any_level import lay_out_any, n_drawn

SPACE = ScoreSpace(Graph(n_layers=3, n_heads=2, n_kv_heads=2, d_model=4, d_mlp=20), "mlp-neuron")


def scores() -> Scores:
    values = np.zeros(SPACE.shape)
    values[0, :3], values[2, :12] = -1.0, 0.5
    return Scores(SPACE, values)


def test_each_layer_says_how_many_units_it_keeps_and_what_they_add_up_to(tmp_path: Path) -> None:
    file = save_circuit_file(tmp_path / "scores.safetensors", scores())
    drawing = read_drawing(str(file), keep=15)
    assert [node.name for node in drawing.nodes] == ["input", "m0:3", "m2:12", "logits"]
    assert {edge.score for edge in drawing.edges} == {-3.0, 6.0}
    assert [edge.is_negative for edge in drawing.edges] == [True, True, False, False]
    assert drawing.edges[-1].names[0] == "m2.h[0]" and drawing.edges[-1].names[-1] == "and 2 more"
    assert "15 hidden units" in drawing.note and drawing.n_edges == 15
    for suffix in (".svg", ".dot"):
        assert b"m2:12" in draw(drawing, suffix)


def test_circuits_without_scores_and_what_is_refused() -> None:
    kept = scores().values > 0
    drawing = lay_out_any(Circuit(SPACE, kept))
    assert [node.name for node in drawing.nodes] == ["input", "m2:12", "logits"]
    assert not drawing.scored and n_drawn(Circuit(SPACE, kept)) == 12
    with pytest.raises(OptionError, match="this circuit keeps none"):
        lay_out_any(Circuit.empty(SPACE))
    nodes = ScoreSpace(SPACE.graph, "node")
    with pytest.raises(OptionError, match="scores of the circuit's own units"):
        lay_out_any(Circuit(SPACE, kept), Scores(nodes, np.zeros(nodes.shape)))
