"""Drawings for Graphviz."""

from __future__ import annotations

import re

from helpers.drawn import EDGES, GRAPH, scores

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.report.draw import draw
from harness_circuits.report.drawing.layout import lay_out


def circuit() -> Circuit:
    return Circuit.of_edges(GRAPH, EDGES)


def test_dot_by_hand() -> None:
    dot = draw(lay_out(circuit(), scores(q=-1.0)), ".dot", 'x"y').decode()
    assert 'label="x\\"y"' in dot
    arrow = r'"input" -> "a0\.h1" \[color="#\w+", penwidth=4\.00, style=dashed, '
    assert re.search(arrow + r'tooltip="input->a0\.h1<q>: -1"\]', dot)
    assert dot.count(" -> ") == len(EDGES)
