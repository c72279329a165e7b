"""`harness-circuits compare`, `leaderboard` and `draw`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness_circuits.records import Reading, ResultFileError, read_results
from harness_circuits.report.compare import Comparison, compare
from harness_circuits.report.markdown import comparison_markdown
from harness_circuits.scores import write_atomically

_COMPARE_EPILOG = """\
Exit code with --fail-on regression: 1 if a number got significantly worse by more than the tolerance, or
if an old run has no new counterpart; otherwise 0.

examples:
  harness-circuits compare results/main results/branch
  harness-circuits compare old.json new.json --fail-on regression --tolerance 0.01
  harness-circuits compare old new --output "$GITHUB_STEP_SUMMARY" --json comparison.json
"""


def compare_command(arguments: Sequence[str]) -> int:
    """Run `harness-circuits compare`.

    Returns:
        1 where `--fail-on` says so, else 0.

    Raises:
        ResultFileError: A path does not exist, or holds no usable results.
        OptionError: Nothing can be compared.
    """
    options = _compare_parser().parse_args(arguments)
    old, new = read_runs([options.old]), read_runs([options.new])
    comparison = compare(old.runs, new.runs, options.tolerance)
    text = comparison_markdown(comparison, everything=options.all)
    print(text, end="")
    if options.output is not None:
        write_text(options.output, text)
    if options.json is not None:
        write_text(options.json, json.dumps(comparison_json(comparison), indent=2) + "\n")
    failed = comparison.with_verdict("worse") or comparison.missing
    return 1 if options.fail_on == "regression" and failed else 0


def read_runs(paths: Sequence[Path]) -> Reading:
    """Read results; name every file that is left out on stderr, with a count.

    Raises:
        ResultFileError: A path does not exist, or no file is usable.
    """
    reading = read_results(paths)
    for path, reason in reading.skipped:
        print(f"skipped {path}: {reason}", file=sys.stderr)
    if reading.skipped:
        print(f"{len(reading.skipped)} files skipped, {_files(reading)} used", file=sys.stderr)
    if not reading.runs:
        raise ResultFileError(
            f"No results of --model circuit in {', '.join(map(str, paths))}. Write some with "
            "lm_eval --model circuit --output_path FOLDER."
        )
    return reading


def write_text(path: Path, text: str) -> None:
    """Write a file; GitHub's step summary is appended to, as it is shared by a job's commands."""
    if str(path) == os.environ.get("GITHUB_STEP_SUMMARY"):
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        write_atomically(path, text.encode())


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain JSON."""
    return {
        "rows": [asdict(row) for row in comparison.rows],
        "missing": [run.label for run in comparison.missing],
        "added": [run.label for run in comparison.added],
        "notes": list(comparison.notes),
    }


def _files(reading: Reading) -> int:
    return len({run.file for run in reading.runs})


def _compare_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness-circuits compare",
        description="Compare old results with new ones, example by example where both saved artifacts.",
        epilog=_COMPARE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", type=Path, help="results file, or folder of them")
    parser.add_argument("new", type=Path, help="results file, or folder of them")
    parser.add_argument(
        "--tolerance", type=float, default=0.0, help="changes up to this size do not count (0)"
    )
    parser.add_argument(
        "--fail-on",
        choices=("nothing", "regression"),
        default="nothing",
        help="when to exit with 1",
    )
    parser.add_argument("--all", action="store_true", help="show unchanged curve points too")
    parser.add_argument("--output", type=Path, help="also write the Markdown table to this file")
    parser.add_argument("--json", type=Path, help="also write all rows as JSON to this file")
    return parser
