"""Leaderboard, comparison of runs, and circuit drawings: files in, tables and pages out. No torch."""

from typing import TYPE_CHECKING

from harness_circuits.registry import on_first_use

if TYPE_CHECKING:
    from harness_circuits.report.draw import read_drawing
    from harness_circuits.report.page import leaderboard_page, page_of_circuit
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
    "leaderboard_csv",
    "leaderboard_markdown",
    "leaderboard_page",
    "make_leaderboard",
    "page_of_circuit",
    "read_drawing",
]

__getattr__ = on_first_use(
    __name__,
    {
        "COLUMNS": "scoring",
        "Column": "scoring",
        "Leaderboard": "table",
        "leaderboard_csv": "table",
        "leaderboard_markdown": "table",
        "leaderboard_page": "page",
        "make_leaderboard": "table",
        "page_of_circuit": "page",
        "read_drawing": "draw",
    },
)
