"""What needs the extra `report` says how to install it."""

from __future__ import annotations

import pytest

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import OptionError
from harness_circuits.report.draw import draw
from harness_circuits.report.drawing.layout import lay_out

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4)
EDGES = ["input->a0.h1<q>", "input->a0.h1<k>", "a0.h1->m1", "m1->logits", "a0.h1->logits"]


def circuit() -> Circuit:
    return Circuit.of_edges(GRAPH, EDGES)


def test_a_missing_extra_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "harness_circuits.report.drawing.draw_static", None
    )
    with pytest.raises(OptionError, match=r'pip install -e ".*\[report\]"'):
        draw(lay_out(circuit()), ".svg")
