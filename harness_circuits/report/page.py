"""Self-contained HTML pages: the leaderboard, a circuit, and circuits of tasks on other tasks.

Templates escape all text. Data for charts stands in blocks of JSON that no script runs. A content
security policy allows the page's own scripts, by their hashes, and no network.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from harness_circuits import __version__
from harness_circuits.machine.outgoing import clean, without_folders
from harness_circuits.machine.packed import pack
from harness_circuits.records.transfer import Transfer
from harness_circuits.report.matrix import matrices
from harness_circuits.report.page_views import fitting, opened, packed_views
from harness_circuits.report.table import TEXT, TIED_SIGN, Leaderboard
from harness_circuits.report.transfer import (
    WITHOUT,
    about,
    faithfulness_texts,
    title,
    transfer_view,
)

PAGE_CHARACTERS = 1_950_000  # of a leaderboard, as long as its tables leave room for drawings
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
    values = {
        "title": "Circuit discovery leaderboard",
        "board": board,
        "matrices": {column.name: matrices(board, column) for column in board.columns},
        "columns": TEXT,
        "value_text": lambda value, digits: f"{value:.{digits}f}",
        "left_out": [without_folders(line) for line in left_out],
        "tied_sign": TIED_SIGN,
        **_of_transfers(transfers, len(board.entries)),
    }
    template = "leaderboard.html.jinja"
    tables, heatmaps = ["table"] if board.entries else [], ["heatmap"] if transfers else []
    scripts = ("circuit", *tables, *heatmaps)
    runs = [opened(entry, board.without) for entry in board.entries]
    room = PAGE_CHARACTERS - len(_render(template, scripts, **values))
    views = fitting(runs, room, [transfer_view(found) for found in transfers])
    return _render(template, scripts, views=views, **values)


def transfer_page(found: Transfer) -> str:
    """Circuits of each task on all tasks, as a page of their own."""
    values = {"title": "Circuits of each task on all tasks", **_of_transfers([found], 0)}
    scripts = ("circuit", "heatmap")
    return _render(
        "transfer.html.jinja", scripts, views=packed_views([transfer_view(found)]), **values
    )


def _of_transfers(transfers: Sequence[Transfer], first: int) -> dict[str, Any]:
    """What `transfers.html.jinja` needs; their views begin at number `first`."""
    ways = {"about": about, "title_of": title, "texts": faithfulness_texts, "without": WITHOUT}
    return {"transfers": transfers, "first": first, **ways}


def page_of_circuit(data: Mapping[str, Any], title: str) -> str:
    """One circuit page, from what `harness_circuits.report.circuit_page` makes."""
    return _render(
        "circuit.html.jinja", ("circuit", "alone"), title=title, views=packed_views([data])
    )


def _render(template: str, scripts: Sequence[str], *, views: str = "", **values: Any) -> str:
    """Fill a template.

    The scripts go into it in their order, ECharts and the packed views for `circuit.js` compressed; the
    policy allows these scripts alone.
    """
    texts = [_text(SCRIPTS[name]) for name in scripts]
    held, allowed = {}, list(texts)
    if "circuit" in scripts:
        library = _text("echarts/echarts.min.js")
        held = {"echarts": base64.b64encode(pack(library)).decode(), "views": views}
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
            packed=held,
            style=Markup(_text("page.css")),
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
