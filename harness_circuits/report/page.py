"""Self-contained HTML pages: the leaderboard, a circuit, and circuits of tasks on other tasks.

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
from markupsafe import Markup

from harness_circuits import __version__
from harness_circuits.errors import CircuitError
from harness_circuits.machine.outgoing import clean
from harness_circuits.records.examples import example_rows
from harness_circuits.records.results_file import EXAMPLES_FILE
from harness_circuits.records.transfer import Transfer
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
from harness_circuits.report.transfer import about, faithfulness_texts, title, transfer_view

LEADERBOARD_PAIRS = 5  # of each size; a page of its own has more
SCRIPTS = {
    "circuit": "circuit.js",
    "alone": "alone.js",
    "table": "table.js",
    "heatmap": "heatmap.js",
}


def leaderboard_page(
    board: Leaderboard, left_out: Sequence[str] = (), transfers: Sequence[Transfer] = ()
) -> str:
    """The whole leaderboard as one page.

    Args:
        board: Runs and marks.
        left_out: A line for each file or run that is not among them.
        transfers: Circuits of each task on all tasks, shown behind the tables.
    """
    return _render(
        "leaderboard.html.jinja",
        ("circuit", *(["table"] if board.entries else []), *(["heatmap"] if transfers else [])),
        title="Circuit discovery leaderboard",
        board=board,
        matrices=lambda column: matrices(board, column),
        columns=TEXT,
        value_text=lambda value, digits: f"{value:.{digits}f}",
        views=[*map(_details, board.entries), *map(transfer_view, transfers)],
        left_out=left_out,
        tied_sign=TIED_SIGN,
        **_of_transfers(transfers, len(board.entries)),
    )


def transfer_page(found: Transfer) -> str:
    """Circuits of each task on all tasks, as a page of their own."""
    values = {"title": "Circuits of each task on all tasks", **_of_transfers([found], 0)}
    scripts = ("circuit", "heatmap")
    return _render("transfer.html.jinja", scripts, views=[transfer_view(found)], **values)


def _of_transfers(transfers: Sequence[Transfer], first: int) -> dict[str, Any]:
    """What `transfers.html.jinja` needs; their views begin at number `first`."""
    ways = {"about": about, "title_of": title, "texts": faithfulness_texts}
    return {"transfers": transfers, "first": first, **ways}


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


def _render(
    template: str, scripts: Sequence[str], *, views: Sequence[Any] = (), **values: Any
) -> str:
    """Fill a template.

    The scripts go into it in their order, ECharts and the views for `circuit.js` compressed; the policy
    allows these scripts alone.
    """
    texts = [_text(SCRIPTS[name]) for name in scripts]
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
