"""Leaderboard, comparison of runs, and circuit drawings: files in, tables and pages out. No torch."""

from typing import TYPE_CHECKING

from harness_circuits.registry import on_first_use

if TYPE_CHECKING:
    from harness_circuits.report.draw import read_drawing
    from harness_circuits.report.page import circuit_page, leaderboard_page
    from harness_circuits.report.scoring import COLUMNS, Column
    from harness_circuits.report.table import (
        Leaderboard,
        leaderboard_csv,
        leaderboard_markdown,
        make_leaderboard,
    )

__all__ = [
    "COLUMNS",
    "Column",
    "Leaderboard",
    "circuit_page",
    "leaderboard_csv",
    "leaderboard_markdown",
    "leaderboard_page",
    "make_leaderboard",
    "read_drawing",
]

__getattr__ = on_first_use(
    __name__,
    {
        "COLUMNS": "scoring",
        "Column": "scoring",
        "Leaderboard": "table",
        "circuit_page": "page",
        "leaderboard_csv": "table",
        "leaderboard_markdown": "table",
        "leaderboard_page": "page",
        "make_leaderboard": "table",
        "read_drawing": "draw",
    },
)
