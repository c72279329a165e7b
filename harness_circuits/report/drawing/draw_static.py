"""A circuit drawing as SVG, PNG or PDF, by matplotlib."""

from __future__ import annotations

import io

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, PathPatch
from matplotlib.path import Path as Curve

from harness_circuits.report.drawing.colours import (
    EDGE_COLOURS,
    INK,
    NODE_COLOURS,
    PAPER,
    alpha,
    width,
)
from harness_circuits.report.drawing.layout import (
    KINDS,
    NODE_TOP,
    Drawing,
    DrawnEdge,
    DrawnNode,
)

COLUMN, ROW = 0.72, 0.62  # inches
MARGIN = 0.6
BOX = (0.36, NODE_TOP)  # half width and half height of a node, in columns and rows
_CUBIC = [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]


def draw_static(drawing: Drawing, kind: str, title: str = "", dpi: int = 150) -> bytes:
    """Draw a circuit.

    Args:
        drawing: The circuit, laid out.
        kind: `svg`, `png` or `pdf`.
        title: Line above it.
        dpi: Dots per inch of a PNG.

    Returns:
        The file's content; the same for the same drawing.
    """
    curves = [edge.path() for edge in drawing.edges]
    left = min(node.x for node in drawing.nodes) - MARGIN
    right = max([node.x for node in drawing.nodes] + [p[:, 0].max() for p in curves]) + MARGIN
    top = max(node.y for node in drawing.nodes) + MARGIN
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "circuit", "font.size": 8}):
        size = (max((right - left) * COLUMN, 4.8), (top + MARGIN) * ROW + 0.7)
        figure = Figure(figsize=size, facecolor=PAPER, layout="constrained")
        axes = figure.add_subplot()
        axes.set(xlim=(left, right), ylim=(-MARGIN, top))
        axes.set_axis_off()
        for edge in drawing.edges:
            axes.add_patch(_line(edge, drawing.scored))
            if edge.is_crossing:
                x, y = edge.path()[1:3].mean(0) - (0, 0.05)
                axes.text(x, y, edge.kind, ha="center", color=EDGE_COLOURS[edge.kind], zorder=4)
        for node in drawing.nodes:
            axes.add_patch(_box(node))
            axes.text(node.x, node.y, node.name, ha="center", va="center", color=INK, zorder=4)
        for x, name in drawing.columns:
            axes.text(x, -MARGIN, name, ha="center", va="bottom", color=INK, weight="bold")
        figure.suptitle(title.replace("$", r"\$"), color=INK, fontsize=9)
        figure.legend(handles=_legend(drawing), loc="outside lower center", ncols=4, frameon=False)
        file = io.BytesIO()
        dated = {"svg": "Date", "pdf": "CreationDate"}
        metadata = {dated[kind]: None} if kind in dated else {}
        figure.savefig(file, format=kind, dpi=dpi, metadata=metadata)
    return file.getvalue()


def _line(edge: DrawnEdge, scored: bool) -> Patch:
    curve, colour = Curve(edge.path(), _CUBIC), EDGE_COLOURS[edge.kind]
    line: Patch
    if edge.is_crossing:
        line = FancyArrowPatch(path=curve, arrowstyle="-|>", mutation_scale=9, color=colour)
    else:
        line = PathPatch(curve, facecolor="none", edgecolor=colour)
    line.set(
        linewidth=width(edge.strength, scored),
        alpha=alpha(edge.strength, scored),
        linestyle=(0, (3, 1.5)) if edge.is_negative else "solid",
        zorder=1 + edge.strength,
    )
    return line


def _box(node: DrawnNode) -> FancyBboxPatch:
    across, up = BOX
    return FancyBboxPatch(
        (node.x - across, node.y - up),
        2 * across,
        2 * up,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=NODE_COLOURS[node.kind],
        edgecolor=INK,
        linewidth=0.6,
        zorder=3,
    )


def _legend(drawing: Drawing) -> list[Line2D]:
    used = {edge.kind for edge in drawing.edges}
    handles = [
        Line2D([], [], color=EDGE_COLOURS[kind], linewidth=2, label=f"into {kind}")
        for kind in KINDS
        if kind in used
    ]
    if drawing.scored:
        handles.append(Line2D([], [], color=INK, linewidth=2, label="raises the metric"))
    if any(edge.is_negative for edge in drawing.edges):
        handles.append(Line2D([], [], color=INK, linewidth=2, ls=(0, (3, 1.5)), label="lowers it"))
    return handles
