"""Self-contained HTML pages: the leaderboard, a circuit, and single figures.

Templates escape all text. Data for charts stands in blocks of JSON that no script runs. A content
security policy allows the page's own scripts, by their hashes, and no network.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import plotly.graph_objects as go
import plotly.io
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from harness_circuits import __version__
from harness_circuits.errors import CircuitError
from harness_circuits.machine.outgoing import clean
from harness_circuits.records.examples import example_rows
from harness_circuits.records.results_file import EXAMPLES_FILE
from harness_circuits.report.circuit_page import curves_data, page_data
from harness_circuits.report.circuit_sources import folder_view
from harness_circuits.report.matrix import matrices
from harness_circuits.report.scoring import Entry
from harness_circuits.report.table import (
    TEXT,
    TIED_SIGN,
    Leaderboard,
    accuracy_text,
    flat,
    whole_model_texts,
)

LEADERBOARD_PAIRS = 5  # of each size; a page of its own has more
SCRIPTS = {
    "circuit": "circuit.js",
    "alone": "alone.js",
    "table": "table.js",
    "charts": "charts.js",
}
THEMES = {"light": "plotly_white", "dark": "plotly_dark"}


def leaderboard_page(board: Leaderboard, left_out: Sequence[str] = ()) -> str:
    """The whole leaderboard as one page.

    Args:
        board: Runs and marks.
        left_out: A line for each file or run that is not among them.
    """
    return _render(
        "leaderboard.html.jinja",
        ("circuit", "table"),
        title="Circuit discovery leaderboard",
        board=board,
        matrices=lambda column: matrices(board, column),
        columns=TEXT,
        value_text=lambda value, digits: f"{value:.{digits}f}",
        views=[_details(entry) for entry in board.entries],
        left_out=left_out,
        tied_sign=TIED_SIGN,
    )


def figure_page(figure: go.Figure, title: str) -> str:
    """One plotly figure as a page."""
    themes = {
        name: plotly.io.templates[theme].layout.to_plotly_json() for name, theme in THEMES.items()
    }
    charts = [{"drawing": _plain(figure)}]
    scripts = ("plotly", "charts")
    return _render("figure.html.jinja", scripts, title=title, charts=charts, themes=themes)


def page_of_circuit(data: Mapping[str, Any], title: str) -> str:
    """One circuit page, from what `harness_circuits.report.circuit_page` makes."""
    return _render("circuit.html.jinja", ("circuit", "alone"), title=title, views=[data])


def _details(entry: Entry) -> dict[str, Any]:
    """What an opened row shows: curves, facts, and circuits or why they are not drawn."""
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
        if entry.examples is None:
            raise CircuitError(entry.why_not)
        folder = entry.examples.folder
        view, file = folder_view(folder), folder / EXAMPLES_FILE
        rows = example_rows(file) if file.is_file() else None  # an Inspect log has them itself
        return page_data(view, run.curves, rows, n_pairs=LEADERBOARD_PAIRS) | {"facts": facts}
    except CircuitError as error:
        why = f"No drawing: {str(error).rstrip('.')}."
        return curves_data(run.curves) | {"facts": facts, "why_not": why}


def _plain(figure: go.Figure) -> dict[str, Any]:
    """Traces and layout as JSON, without plotly's default template: the page brings its own two."""
    figure.update_layout(template=None)
    content: dict[str, Any] = json.loads(figure.to_json(validate=False))
    return {"data": content["data"], "layout": content["layout"]}


def _render(
    template: str, scripts: Sequence[str], *, views: Sequence[Any] = (), **values: Any
) -> str:
    """Fill a template.

    The scripts go into it in their order, ECharts and the views for `circuit.js` compressed; the policy
    allows these scripts alone.
    """
    texts = [get_plotlyjs() if name == "plotly" else _text(SCRIPTS[name]) for name in scripts]
    packed, allowed = {}, list(texts)
    if views:
        library = _text("echarts/echarts.min.js")
        cleaned = json.dumps(_cleaned(views), separators=(",", ":"))
        packed = {"echarts": _packed(library), "views": _packed(cleaned)}
        allowed.append(library)
    digests = (hashlib.sha256(text.encode()).digest() for text in allowed)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        _environment()
        .get_template(template)
        .render(
            version=__version__,
            policy="default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; "
            f"script-src {hashes}",
            scripts=[Markup(text) for text in texts],
            packed=packed,
            style=Markup(_text("page.css")),
            **values,
        )
    )


def _packed(text: str) -> str:
    """Text as `unpack` of `circuit.js` reads it; the same bytes each time."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _cleaned(value: Any) -> Any:
    """Plain JSON with every text fit to be shown."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(name): _cleaned(item) for name, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, (list, tuple)) else value


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
