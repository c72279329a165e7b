"""Colours and line widths that all drawings share (Okabe and Ito's palette, safe for colour blindness)."""

from __future__ import annotations

EDGE_COLOURS = {
    "q": "#0072B2",
    "k": "#D55E00",
    "v": "#009E73",
    "mlp": "#7A7A7A",
    "logits": "#AA4499",
}
NODE_COLOURS = {"input": "#F0E442", "head": "#DCEBF7", "mlp": "#E6E6E6", "logits": "#F3D9EE"}
RANKING_COLOURS = {"absolute": "#0072B2", "signed": "#D55E00"}
INK, PAPER = "#1A1A1A", "#FFFFFF"


def width(strength: float, scored: bool) -> float:
    """Line width in points: its area says how strong an edge is."""
    return 0.5 + 3.5 * strength**0.5 if scored else 1.0


def alpha(strength: float, scored: bool) -> float:
    """Opacity: weak edges step back, none disappears."""
    return 0.4 + 0.55 * strength**0.5 if scored else 0.6
