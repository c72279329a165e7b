"""What notebooks show: tables whose every cell is escaped, and pictures. No package is needed for it."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Sequence
from html import escape


def in_notebook() -> bool:
    """Whether this code runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def show_picture(png: bytes) -> None:
    """Show a picture below the cell that runs."""
    from IPython import display

    display.display(display.Image(png))


def picture_html(png: bytes, what: str) -> str:
    """A picture as part of a page; `what` is its description for those who cannot see it."""
    data = base64.b64encode(png).decode()
    return f'<img style="max-width:100%" alt="{escape(what)}" src="data:image/png;base64,{data}">'


def table_html(
    title: str, headers: Sequence[str], rows: Iterable[Sequence[object]], numbers_from: int = 1
) -> str:
    """A table with a title; columns from `numbers_from` on are set flush right.

    >>> table_html("<a>", ["x"], [["<b>"]]).count("&lt;")
    2
    """

    def row(cells: Sequence[object], tag: str) -> str:
        sides = ("left" if at < numbers_from else "right" for at in range(len(cells)))
        return "".join(
            f'<{tag} style="text-align:{side}">{escape(str(cell))}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )

    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    caption = f'<caption style="text-align:left">{escape(title)}</caption>'
    return (
        f"<table>{caption}<thead><tr>{row(headers, 'th')}</tr></thead><tbody>{body}</tbody></table>"
    )


def beside(*parts: str) -> str:
    """Pieces of a page side by side, one below the other where there is no room."""
    cells = "".join(f"<div>{part}</div>" for part in parts if part)
    return f'<div style="display:flex;flex-wrap:wrap;gap:2em;align-items:flex-start">{cells}</div>'
