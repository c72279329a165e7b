"""Drawings as SVG and PDF."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from helpers.drawn import EDGES, GRAPH, scores

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.report.draw import draw
from harness_circuits.report.drawing.layout import lay_out


def circuit() -> Circuit:
    return Circuit.of_edges(GRAPH, EDGES)


@pytest.mark.parametrize("scored", [False, True])
def test_svg_shows_nodes_edges_and_legend(scored: bool) -> None:
    drawing = lay_out(circuit(), scores(q=-1.0) if scored else None)
    svg = draw(drawing, ".svg", "a <b> & $x$").decode()
    words = {text.text for text in ElementTree.fromstring(svg).iter() if text.text}
    assert {"input", "a0.h1", "m1", "logits", "into q", "into logits", "a <b> & $x$"} <= words
    assert ("lowers it" in words) == scored
    assert svg == draw(drawing, ".svg", "a <b> & $x$").decode()


def test_a_pdf_is_the_same_each_time(tmp_path: Path) -> None:
    drawing = lay_out(circuit())
    assert draw(drawing, ".pdf").startswith(b"%PDF-")
    assert draw(drawing, ".pdf") == draw(drawing, ".pdf")
