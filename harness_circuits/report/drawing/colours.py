"""Colours and line widths of all drawings: Okabe and Ito's hues, fit for light and dark grounds."""

from __future__ import annotations

from harness_circuits.circuits.ranking import Ranking

EDGE_COLOURS = {
    "q": "#2A88CC",
    "k": "#D9650B",
    "v": "#0BA077",
    "qkv": "#6C78C4",
    "mlp": "#858585",
    "logits": "#BC52AC",
}
NODE_COLOURS = {"input": "#F0E442", "head": "#DCEBF7", "mlp": "#E6E6E6", "logits": "#F3D9EE"}
RANKING_COLOURS = {Ranking.ABSOLUTE: "#2A88CC", Ranking.SIGNED: "#D9650B"}
INK, PAPER = "#1A1A1A", "#FFFFFF"


def width(strength: float, scored: bool) -> float:
    """Line width in points: its area says how strong an edge is."""
    return 0.5 + 3.5 * strength**0.5 if scored else 1.0


def alpha(strength: float, scored: bool) -> float:
    """Opacity: weak edges step back, none disappears."""
    return 0.5 + 0.45 * strength**0.5 if scored else 0.6
