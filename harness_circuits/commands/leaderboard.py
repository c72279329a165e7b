"""`harness-circuits leaderboard`: Markdown, CSV and a page from results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness_circuits.commands.parser import CommandParser, path_argument, text_argument
from harness_circuits.machine.files import write_together
from harness_circuits.machine.outgoing import clean, clean_lines
from harness_circuits.records.results_file import read_runs
from harness_circuits.records.run import tell_apart
from harness_circuits.report.comparison.matching import newest
from harness_circuits.report.extras import needs_report
from harness_circuits.report.scoring import COLUMNS

COLUMN_NAMES = tuple(column.name for column in COLUMNS)


def leaderboard_command(arguments: Sequence[str]) -> None:
    """Run `harness-circuits leaderboard`.

    Raises:
        ResultFileError: A path does not exist, or holds no usable results.
        OptionError: The extra `report` is not installed.
    """
    options = _parser().parse_args(arguments)
    with needs_report():
        from harness_circuits.report.page import leaderboard_page
        from harness_circuits.report.table import (
            leaderboard_csv,
            leaderboard_markdown,
            make_leaderboard,
        )
    reading = read_runs(options.results, transfers=True)
    notes: list[str] = []
    board = make_leaderboard(
        newest(tell_apart(reading.runs), notes), options.note or "", options.without
    )
    for line in (*reading.left_out, *(f"left out {note}" for note in notes)):
        print(clean(line), file=sys.stderr)
    left_out = [*(f"{path}: {reason}" for path, reason in reading.skipped), *notes]
    files = {
        "leaderboard.md": clean_lines(leaderboard_markdown(board, left_out)),
        "leaderboard.csv": leaderboard_csv(board),
        "leaderboard.html": leaderboard_page(board, left_out, [t for _, t in reading.transfers]),
    }
    written = {options.output / name: text.encode() for name, text in files.items()}
    write_together(written)
    for path in written:
        print(clean(path))


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="harness-circuits leaderboard",
        description="Make leaderboard.md, leaderboard.csv and leaderboard.html from results.",
    )
    parser.add_argument(
        "results", type=path_argument, nargs="+", help="results files, or folders of them"
    )
    parser.add_argument(
        "--output",
        type=path_argument,
        default=Path("leaderboard"),
        help="folder to write to (leaderboard)",
    )
    parser.add_argument("--note", type=text_argument, help="a sentence above the tables")
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        choices=COLUMN_NAMES,
        metavar="COLUMN",
        help=f"columns to leave out: of {', '.join(COLUMN_NAMES)}",
    )
    return parser
