"""Self-contained HTML pages: the leaderboard, and a single drawing.

Templates escape all text. Data for charts stands in blocks of JSON that no script runs. A content
security policy allows the page's own scripts, by their hashes, and no network.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.io
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from harness_circuits import __version__
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import HIDDEN_UNITS
from harness_circuits.errors import CircuitError
from harness_circuits.formats import CIRCUITS_FILE, SCORES_FILE, read_circuits, read_scores
from harness_circuits.machine.outgoing import clean
from harness_circuits.report.drawing.any_level import drawable, lay_out_any, n_drawn
from harness_circuits.report.drawing.curves import curves_figure
from harness_circuits.report.drawing.draw_plotly import draw_figure
from harness_circuits.report.drawing.layout import Drawing
from harness_circuits.report.scoring import Entry
from harness_circuits.report.table import (
    TEXT,
    TIED_SIGN,
    Leaderboard,
    accuracy_text,
    flat,
    whole_model_texts,
)

DRAWN_EDGES = 120
THEMES = {"light": "plotly_white", "dark": "plotly_dark"}


def leaderboard_page(board: Leaderboard, left_out: Sequence[str] = ()) -> str:
    """The whole leaderboard as one page.

    Args:
        board: Runs and marks.
        left_out: A line for each file or run that is not among them.
    """
    details = [_details(entry) for entry in board.entries]
    charts = [
        {"curves": _plain(curves_figure(entry.run.curves)), "drawing": detail["drawing"]}
        for entry, detail in zip(board.entries, details, strict=True)
    ]
    return _render(
        "leaderboard.html.jinja",
        title="Circuit discovery leaderboard",
        board=board,
        columns=TEXT,
        value_text=lambda value, digits: f"{value:.{digits}f}",
        details=details,
        charts=charts,
        left_out=left_out,
        tied_sign=TIED_SIGN,
    )


def drawing_page(figure: go.Figure, title: str) -> str:
    """One drawing as a page."""
    return _render("drawing.html.jinja", title=title, charts=[{"drawing": _plain(figure)}])


def circuit_to_draw(entry: Entry) -> tuple[str, Drawing]:
    """The circuit of a run that shows most while it is readable, and what to call it.

    Raises:
        CircuitError: The run has none on disk, or none of a size that can be drawn.
    """
    if entry.examples is None:
        raise CircuitError(entry.why_not)
    folder = entry.examples.folder
    circuits = read_circuits(folder / CIRCUITS_FILE)
    drawn = {name: n_drawn(circuit) for name, circuit in circuits.items()}
    small = [name for name, n in drawn.items() if 0 < n <= DRAWN_EDGES]
    larger = [name for name, n in drawn.items() if n > DRAWN_EDGES]
    if not small + larger:
        raise CircuitError("all its circuits are empty")
    name = max(small, key=drawn.__getitem__) if small else min(larger, key=drawn.__getitem__)
    scores = None
    if (folder / SCORES_FILE).exists():
        scores = drawable(read_scores(folder / SCORES_FILE))
    ranking, _, size = name.partition("@")
    words = f"ranked by {Ranking.read(ranking).symbol}, size {size}"
    if scores is not None:
        words += "; width by |score|, dashed where it lowers the metric"
    what = "hidden units" if circuits[name].space.level == HIDDEN_UNITS else "edges"
    return f"{drawn[name]} {what}, {words}", lay_out_any(circuits[name], scores)


def _details(entry: Entry) -> dict[str, Any]:
    """Facts of a run for its opened row, and its drawing or why there is none."""
    run = entry.run
    facts = {
        "task metric": run.metric,
        **({"whole model": accuracy_text(run)} if run.accuracy else {}),
        **whole_model_texts(run),
        "pairs": f"{run.n_discovery} for discovery, {run.n_evaluation} for evaluation",
        "seconds": f"{run.discovery_seconds:.1f} discovery, {run.evaluation_seconds:.1f} evaluation",
        **flat({**run.model_details, **run.settings}),
        "file": run.file.as_posix(),
        **{f"evidence: {kind}": "\n".join(lines) for kind, lines in run.evidence.items()},
    }
    try:
        caption, drawing = circuit_to_draw(entry)
    except CircuitError as error:
        return {"facts": facts, "caption": f"No drawing: {error}.", "drawing": None}
    return {"facts": facts, "caption": caption, "drawing": _plain(draw_figure(drawing))}


def _plain(figure: go.Figure) -> dict[str, Any]:
    """Traces and layout as JSON, without plotly's default template: the page brings its own two."""
    figure.update_layout(template=None)
    content: dict[str, Any] = json.loads(figure.to_json(validate=False))
    return {"data": content["data"], "layout": content["layout"]}


def _render(template: str, **values: Any) -> str:
    """Fill a template; `{{ script(text) }}` in it adds a script that the policy allows."""
    scripts = {"plotly": get_plotlyjs(), "charts": _text("charts.js"), "table": _text("table.js")}
    hashes = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for name, text in scripts.items()
    }
    themes = {
        name: plotly.io.templates[theme].layout.to_plotly_json() for name, theme in THEMES.items()
    }
    return (
        _environment()
        .get_template(template)
        .render(
            version=__version__,
            policy="default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src "
            + " ".join(f"'sha256-{digest}'" for digest in hashes.values()),
            scripts={name: Markup(text) for name, text in scripts.items()},
            style=Markup(_text("page.css")),
            themes=themes,
            **values,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("harness_circuits.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _text(name: str) -> str:
    folder = resources.files("harness_circuits.report") / "templates"
    return (folder / name).read_text(encoding="utf-8")
