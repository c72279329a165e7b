"""Faithfulness curves with their 95% bands, drawn by matplotlib to PNG, SVG or PDF."""

from __future__ import annotations

import io
from collections.abc import Mapping

from matplotlib.figure import Figure

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.records.run import CurveRecord
from harness_circuits.report.drawing.colours import RANKING_COLOURS


def curves_picture(curves: Mapping[Ranking, CurveRecord], kind: str, title: str = "") -> bytes:
    """Faithfulness over circuit size on a log axis, one line per ranking.

    Args:
        curves: By ranking.
        kind: `png`, `svg` or `pdf`.
        title: Heading.
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for ranking, curve in curves.items():
        colour = RANKING_COLOURS[ranking]
        values = [point.value for point in curve.points]
        low, high = [p.low for p in curve.points], [p.high for p in curve.points]
        axes.plot(curve.sizes, values, "o-", color=colour, label=ranking.heading, ms=4)
        axes.fill_between(curve.sizes, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.axhline(1, color="gray", linestyle=":", linewidth=1)
    axes.set(
        xscale="log",
        xlabel="circuit size (fraction of all units)",
        ylabel="faithfulness",
        title=title,
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=150, metadata={} if kind == "png" else {"Date": None})
    return out.getvalue()
