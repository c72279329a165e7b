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

from harness_circuits.circuits.scores import write_atomically
from harness_circuits.errors import CircuitError
from harness_circuits.records.fields import ResultFileError
from harness_circuits.records.results_file import Reading, read_results
from harness_circuits.report.comparison.compare import Comparison, compare
from harness_circuits.report.comparison.junit import comparison_junit
from harness_circuits.report.comparison.matching import newest
from harness_circuits.report.comparison.thresholds import read_thresholds
from harness_circuits.report.draw import check_output, default_output, draw, read_drawing
from harness_circuits.report.extras import needs_report
from harness_circuits.report.markdown import comparison_markdown
from harness_circuits.report.table import frame, leaderboard_markdown, make_leaderboard

_COMPARE_EPILOG = """\
Exit code: 0, nothing got worse; 1, a number got significantly worse by more than its threshold; 2, runs
cannot be compared: a cell of BASELINE is missing from CURRENT or has other settings, or a file of either
is damaged.

examples:
  harness-circuits compare results/main results/branch --thresholds thresholds.yaml
  harness-circuits compare main branch --format junit --output comparison.xml
  harness-circuits compare eap.json eap-ig.json --across-settings
"""

_DRAW_EPILOG = """\
examples:
  harness-circuits draw runs/ioi_circuit/scores.safetensors --keep 100 --output circuit.png
  harness-circuits draw runs/ioi_circuit/circuits.safetensors#absolute@0.001 \\
      --scores runs/ioi_circuit/scores.safetensors --output circuit.html
"""


def compare_command(arguments: Sequence[str]) -> int:
    """Run `harness-circuits compare`.

    Returns:
        0, nothing got worse; 1, something did; 2, something could not be compared.
    """
    options = compare_parser().parse_args(arguments)
    try:
        thresholds = read_thresholds(options.thresholds)
        old, new = read_runs([options.baseline]), read_runs([options.current])
    except CircuitError as error:
        print(f"harness-circuits compare: error: {error}", file=sys.stderr)
        return 2
    comparison = compare(old.runs, new.runs, thresholds, across_settings=options.across_settings)
    text = _comparison_text(comparison, options.format, everything=options.all)
    print(text, end="")
    if options.output is not None:
        write_text(options.output, text)
    if comparison.with_verdict("worse"):
        return 1
    return 2 if comparison.not_compared or old.damaged or new.damaged else 0


def _comparison_text(comparison: Comparison, form: str, *, everything: bool) -> str:
    if form == "json":
        return json.dumps(comparison_json(comparison), indent=2) + "\n"
    if form == "junit":
        return comparison_junit(comparison)
    return comparison_markdown(comparison, everything=everything)


def leaderboard_command(arguments: Sequence[str]) -> None:
    """Run `harness-circuits leaderboard`.

    Raises:
        ResultFileError: A path does not exist, or holds no usable results.
        OptionError: The extra `report` is not installed.
    """
    options = _leaderboard_parser().parse_args(arguments)
    with needs_report():
        from harness_circuits.report.page import leaderboard_page
    reading = read_runs(options.results)
    notes: list[str] = []
    board = make_leaderboard(newest(reading.runs, notes))
    for note in notes:
        print(f"left out {note}", file=sys.stderr)
    left_out = [*(f"{path}: {reason}" for path, reason in reading.skipped), *notes]
    files = {
        "leaderboard.md": leaderboard_markdown(board, left_out),
        "leaderboard.csv": frame(board).to_csv(index=False),
        "leaderboard.html": leaderboard_page(board, left_out),
    }
    for name, text in files.items():
        print(write_atomically(options.output / name, text.encode()))


def draw_command(arguments: Sequence[str]) -> None:
    """Run `harness-circuits draw`.

    Raises:
        OptionError: Options that exclude each other, nothing to draw, or a missing extra.
        CircuitFileError: A file cannot be read.
    """
    options = _draw_parser().parse_args(arguments)
    output: Path = options.output or default_output(options.file)
    check_output(output)
    drawing = read_drawing(options.file, options.scores, options.keep, options.merge)
    title = f"{Path(options.file).name}: {drawing.n_edges} edges"
    write_atomically(output, draw(drawing, output.suffix, title))
    merged = f", drawn as {len(drawing.edges)} between nodes" if drawing.merged else ""
    print(f"{output}: {len(drawing.nodes)} nodes, {drawing.n_edges} edges{merged}")


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
        "changed": list(comparison.changed),
        "notes": list(comparison.notes),
    }


def _files(reading: Reading) -> int:
    return len({run.file for run in reading.runs})


def _leaderboard_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness-circuits leaderboard",
        description="Make leaderboard.md, leaderboard.csv and leaderboard.html from results.",
    )
    parser.add_argument("results", type=Path, nargs="+", help="results files, or folders of them")
    parser.add_argument(
        "--output", type=Path, default=Path("leaderboard"), help="folder to write to (leaderboard)"
    )
    return parser


def _draw_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="harness-circuits draw",
        description="Draw a circuit: layers upward, colour by what an edge feeds, width by score.",
        epilog=_DRAW_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", help="circuit or scores: .safetensors (FILE#NAME), .json or .pt")
    parser.add_argument(
        "--output", type=Path, help="drawing, by its suffix: .svg (default), .png, .html, .dot"
    )
    parser.add_argument("--scores", help="scores file for widths and signs of a circuit's edges")
    parser.add_argument("--keep", type=int, help="of scores, draw the strongest N units (40)")
    parser.add_argument(
        "--merge",
        action=argparse.BooleanOptionalAction,
        help="one line between two nodes, whether into q, k or v (default: above 100 edges)",
    )
    return parser


def compare_parser() -> argparse.ArgumentParser:
    """Arguments of `harness-circuits compare`."""
    parser = argparse.ArgumentParser(
        prog="harness-circuits compare",
        description="Compare old results with new ones, example by example where both saved artifacts.",
        epilog=_COMPARE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("baseline", type=Path, help="results file, or folder of them")
    parser.add_argument("current", type=Path, help="results file, or folder of them")
    parser.add_argument(
        "--thresholds",
        type=Path,
        help="YAML file of changes that do not count: cpr, cmd, cmd_log, points, default",
    )
    parser.add_argument(
        "--across-settings",
        action="store_true",
        help="also compare single runs of one task and model whose settings differ",
    )
    parser.add_argument(
        "--format", choices=("markdown", "json", "junit"), default="markdown", help="(markdown)"
    )
    parser.add_argument("--all", action="store_true", help="Markdown of unchanged points too")
    parser.add_argument("--output", type=Path, help="also write it to this file")
    return parser
