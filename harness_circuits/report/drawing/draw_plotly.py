"""A circuit drawing as a plotly figure: the same picture with tooltips, on a transparent ground."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import plotly.graph_objects as go

from harness_circuits.report.drawing.colours import EDGE_COLOURS, INK, NODE_COLOURS, alpha, width
from harness_circuits.report.drawing.layout import KINDS, Drawing, DrawnEdge

ROW_PIXELS, COLUMN_PIXELS = 58, 76
STEPS = np.linspace(0, 1, 17)
_BERNSTEIN = np.stack(
    [(1 - STEPS) ** 3, 3 * STEPS * (1 - STEPS) ** 2, 3 * STEPS**2 * (1 - STEPS), STEPS**3], axis=1
)


def draw_figure(drawing: Drawing) -> go.Figure:
    """Draw a circuit; edges of like looks share a trace, and the legend switches kinds on and off."""
    groups: dict[tuple[str, bool, int], list[DrawnEdge]] = defaultdict(list)
    for edge in drawing.edges:
        groups[edge.kind, edge.is_negative, round(5 * edge.strength**0.5)].append(edge)
    figure = go.Figure()
    in_legend = {key[0]: key for key in sorted(groups, key=lambda key: (not key[1], key[2]))}
    for kind, negative, step in sorted(groups, key=lambda key: (key[2], KINDS.index(key[0]))):
        edges, strength = groups[kind, negative, step], (step / 5) ** 2
        figure.add_scatter(
            **_coordinates(edges),
            mode="lines",
            line={
                "color": EDGE_COLOURS[kind],
                "width": width(strength, drawing.scored),
                "dash": "4px,3px" if negative else "solid",
            },
            opacity=alpha(strength, drawing.scored),
            hoverinfo="skip",
            legendgroup=kind,
            legendrank=KINDS.index(kind),
            name=f"into {kind}",
            showlegend=in_legend[kind] == (kind, negative, step),
        )
    if any(edge.is_negative for edge in drawing.edges):
        dashed = {"color": "gray", "dash": "4px,3px"}
        figure.add_scatter(x=[None], y=[None], mode="lines", line=dashed, name="lowers the metric")
    _add_tooltips(figure, drawing)
    _add_nodes(figure, drawing)
    _set_size(figure, drawing)
    return figure


def _coordinates(edges: list[DrawnEdge]) -> dict[str, list[float | None]]:
    """Points of all curves, one after the other, with a gap after each."""
    x: list[float | None] = []
    y: list[float | None] = []
    for edge in edges:
        points = np.round(_BERNSTEIN @ edge.path(), 3)
        x += [*points[:, 0].tolist(), None]
        y += [*points[:, 1].tolist(), None]
    return {"x": x, "y": y}


def _add_tooltips(figure: go.Figure, drawing: Drawing) -> None:
    middles = np.array([_BERNSTEIN[len(STEPS) // 2] @ edge.path() for edge in drawing.edges])
    figure.add_scatter(
        x=np.round(middles[:, 0], 3).tolist(),
        y=np.round(middles[:, 1], 3).tolist(),
        mode="markers",
        marker={"size": 7, "color": [EDGE_COLOURS[edge.kind] for edge in drawing.edges]},
        text=[_plain(edge.label) for edge in drawing.edges],
        hovertemplate="%{text}<extra></extra>",
        opacity=0.35,
        showlegend=False,
    )


def _add_nodes(figure: go.Figure, drawing: Drawing) -> None:
    for node in drawing.nodes:
        figure.add_annotation(
            x=node.x,
            y=node.y,
            text=_plain(node.name),
            showarrow=False,
            bgcolor=NODE_COLOURS[node.kind],
            bordercolor=INK,
            borderpad=3,
            font={"color": INK, "size": 11},
        )


def _set_size(figure: go.Figure, drawing: Drawing) -> None:
    right = max(edge.path()[:, 0].max() for edge in drawing.edges)
    left = min(node.x for node in drawing.nodes) - 0.6
    right = max(right, *(node.x for node in drawing.nodes)) + 0.6
    top = max(node.y for node in drawing.nodes) + 0.6
    hidden = {"visible": False, "fixedrange": False}
    figure.update_layout(
        width=max(340, round((right - left) * COLUMN_PIXELS)),
        height=round((top + 0.6) * ROW_PIXELS) + 60,
        margin={"l": 0, "r": 0, "t": 0, "b": 60},
        xaxis={"range": [left, right], **hidden},
        yaxis={"range": [-0.6, top], **hidden},
        legend={"orientation": "h", "yanchor": "top", "y": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        dragmode="pan",
        hovermode="closest",
    )


def _plain(text: str) -> str:
    """Text that plotly shows as it is: it reads some HTML tags otherwise."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
