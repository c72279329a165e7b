"""Faithfulness curves of one run with their 95% bands, as a plotly figure."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.records.run import CurveRecord
from harness_circuits.report.drawing.colours import RANKING_COLOURS

# Ticks of the log axis stand at powers of ten only, so that their labels have room on a phone.
AXES = {
    "log axis": {"xaxis.type": "log", "xaxis.dtick": 1},
    "linear axis": {"xaxis.type": "linear", "xaxis.dtick": None},
}


def curves_figure(curves: Mapping[Ranking, CurveRecord]) -> go.Figure:
    """Both rankings over circuit size; a button switches the axis between log and linear."""
    figure = go.Figure()
    for ranking, curve in curves.items():
        _add_curve(figure, ranking.heading, RANKING_COLOURS[ranking], curve)
    figure.add_hline(y=1, line={"dash": "dot", "width": 1, "color": "gray"})
    figure.update_layout(
        height=380,
        margin={"l": 55, "r": 10, "t": 45, "b": 90},
        xaxis={
            "type": "log",
            "dtick": 1,
            "tickformat": "~g",
            "title": {"text": "circuit size (fraction of all units)"},
        },
        yaxis={"title": {"text": "faithfulness"}},
        legend={"orientation": "h", "yanchor": "top", "y": -0.25},
        hovermode="closest",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        updatemenus=[_axis_buttons()],
    )
    return figure


def _add_curve(figure: go.Figure, name: str, colour: str, curve: CurveRecord) -> None:
    sizes = list(curve.sizes)
    low, high = [p.low for p in curve.points], [p.high for p in curve.points]
    figure.add_scatter(
        x=sizes + sizes[::-1],
        y=high + low[::-1],
        fill="toself",
        mode="none",
        fillcolor=colour,
        opacity=0.2,
        hoverinfo="skip",
        legendgroup=name,
        showlegend=False,
    )
    figure.add_scatter(
        x=sizes,
        y=[point.value for point in curve.points],
        customdata=list(zip(low, high, curve.edges, curve.accuracy, strict=True)),
        hovertemplate=(
            "size %{x:.3~g}<br>faithfulness %{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
            "<br>%{customdata[2]:.0f} edges kept<br>accuracy %{customdata[3]:.3f}<extra></extra>"
        ),
        mode="lines+markers",
        line={"color": colour},
        legendgroup=name,
        name=name,
    )


def _axis_buttons() -> dict[str, object]:
    return {
        "type": "buttons",
        "direction": "right",
        "x": 0,
        "xanchor": "left",
        "y": 1.02,
        "yanchor": "bottom",
        "pad": {"l": 0, "t": 0},
        "bgcolor": "#DDDDDD",
        "font": {"color": "#1A1A1A"},
        "buttons": [
            {"label": label, "method": "relayout", "args": [change]}
            for label, change in AXES.items()
        ],
    }
