"""`harness-circuits compare`: old results against new ones."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from harness_circuits.commands.parser import CommandParser, of_kind, path_argument
from harness_circuits.errors import CircuitError, one_line
from harness_circuits.machine.files import write_atomically, writing
from harness_circuits.machine.outgoing import clean, clean_lines
from harness_circuits.options.kinds import Whole
from harness_circuits.records.results_file import Reading, read_runs
from harness_circuits.report.comparison.compare import MIN_PAIRS, compare
from harness_circuits.report.comparison.text import FORMATS, comparison_text
from harness_circuits.report.comparison.thresholds import read_thresholds

WORSE, NOT_COMPARED = 1, 2

_EPILOG = """\
Exit code: 0, nothing got worse; 1, a number got significantly worse by more than its threshold; 2, runs
cannot be compared: a cell of BASELINE is missing from CURRENT, has other settings or too few pairs, a
file of either is damaged, or the comparison could not be finished or written.

examples:
  harness-circuits compare results/main results/branch --thresholds thresholds.yaml
  harness-circuits compare main branch --format junit --output comparison.xml
  harness-circuits compare eap.json eap-ig.json --across-settings
"""


def compare_command(arguments: Sequence[str]) -> int:
    """Run `harness-circuits compare`.

    Returns:
        0, nothing got worse; 1, something did; 2, something could not be compared, or the comparison
        could not be finished: whatever goes wrong, 1 is never said without a number that got worse.
    """
    options = compare_parser().parse_args(arguments)
    try:
        return _compare(options)
    except BrokenPipeError:
        raise
    except (CircuitError, OSError) as error:
        print(f"harness-circuits compare: error: {one_line(error)}", file=sys.stderr)
    except Exception:  # a fault of ours must not read as a verdict
        traceback.print_exc()
    return NOT_COMPARED


def _compare(options: argparse.Namespace) -> int:
    thresholds = read_thresholds(options.thresholds)
    old, new = (_read(path) for path in (options.baseline, options.current))
    comparison = compare(
        old.runs,
        new.runs,
        thresholds,
        across_settings=options.across_settings,
        min_pairs=options.min_pairs,
    )
    text = clean_lines(comparison_text(comparison, options.format, everything=options.all))
    if options.output is not None:
        write_text(options.output, text)
    print(text, end="", flush=True)
    if comparison.with_verdict("worse"):
        return WORSE
    return NOT_COMPARED if comparison.not_compared or old.damaged or new.damaged else 0


def _read(path: Path) -> Reading:
    reading = read_runs([path])
    for line in reading.left_out:
        print(clean(line), file=sys.stderr)
    return reading


def write_text(path: Path, text: str) -> None:
    """Write a file; GitHub's step summary is appended to, as it is shared by a job's commands."""
    if str(path) == os.environ.get("GITHUB_STEP_SUMMARY"):
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        write_atomically(path, text.encode())


def compare_parser() -> CommandParser:
    """Arguments of `harness-circuits compare`."""
    parser = CommandParser(
        prog="harness-circuits compare",
        description="Compare old results with new ones, example by example where both saved artifacts.",
        epilog=_EPILOG,
    )
    parser.add_argument("baseline", type=path_argument, help="results file, or folder of them")
    parser.add_argument("current", type=path_argument, help="results file, or folder of them")
    parser.add_argument(
        "--thresholds",
        type=path_argument,
        help="YAML file of changes that do not count: cpr, cmd, cmd_log, points, default",
    )
    parser.add_argument(
        "--across-settings",
        action="store_true",
        help="also compare single runs of one task and model whose settings differ",
    )
    parser.add_argument(
        "--min-pairs",
        type=of_kind(Whole(1, 10**9, texts=True)),
        default=MIN_PAIRS,
        help=f"evaluation pairs that a verdict needs ({MIN_PAIRS})",
    )
    parser.add_argument("--format", choices=FORMATS, default="markdown", help="(markdown)")
    parser.add_argument("--all", action="store_true", help="Markdown of unchanged points too")
    parser.add_argument("--output", type=path_argument, help="also write it to this file")
    return parser
