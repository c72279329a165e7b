"""Learned circuits beside gradients, on two real models: the tables of docs/learned.md.

Usage: python -m benchmarks.field [FOLDER] [--models default gemma] [--tasks ioi_circuit ...]
                                    [--pairs N] [--methods NAME ...] [--table]

Runs the grid of `benchmarks/sweeps/learned.yaml` on some models and tasks, N training and N test pairs
(100), and prints per model and task the leaderboard and every method's areas less EAP-IG-inputs', paired
over the same pairs. Killed at any time, the same command goes on; `--table` prints what there is.
`gemma` is Gemma 3 270M (see `benchmarks.gemma`), fetched on first use under its own terms.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.gemma import gemma
from benchmarks.results import AREA_NAMES
from harness_circuits.commands.main import main as harness_circuits
from harness_circuits.records.results_file import read_results
from harness_circuits.records.run import Run, tell_apart
from harness_circuits.records.strict_yaml import read_yaml
from harness_circuits.report.comparison.compare import ALPHA, compare, method_text
from harness_circuits.report.comparison.matching import newest
from harness_circuits.report.markdown import interval_text, markdown_table
from harness_circuits.report.table import leaderboard_markdown, make_leaderboard

SWEEP = Path(__file__).parent / "sweeps" / "learned.yaml"
BASE = "EAP-IG-inputs"
TASKS = ("ioi_circuit", "greater_than_circuit", "sva_circuit")


def make_sweep(options: argparse.Namespace, folder: Path) -> Path:
    """Write the sweep of some models, tasks and pairs, and return its file."""
    grid: dict[str, Any] = dict(read_yaml(SWEEP))
    known = {"default": lambda: "default", "gemma": lambda: str(gemma(Path("build/gemma")))}
    grid["models"] = [known[name]() for name in options.models]
    grid["tasks"] = list(options.tasks)
    grid["limit"] = options.pairs
    grid["options"] = {**grid["options"], "n_discovery": options.pairs}
    if options.methods:
        grid["methods"] = [one for one in grid["methods"] if _name(one) in options.methods]
    file = folder / "sweep.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(grid, sort_keys=False))
    return file


def _name(method: Any) -> str:
    return str(method if isinstance(method, str) else method["method"])


def paired(runs: Sequence[Run]) -> str:
    """Areas less those of `BASE` at the same level, on the same examples, as Markdown."""
    rows = []
    bases = {run.settings["level"]: run for run in runs if run.settings["method"] == BASE}
    others = [run for run in runs if run.settings["method"] != BASE]
    for run in others:
        base = bases.get(run.settings["level"])
        if base is None:
            continue
        found = {}
        for row in compare([base], [run], across_settings=True).rows:
            if row.metric in AREA_NAMES:
                p = None if row.adjusted_p is None else min(1.0, row.adjusted_p * len(others))
                text = interval_text(row.difference.estimate, "+")
                found[row.metric] = text if p is None else f"{text}, p {p:.2g}"
        rows.append(
            [method_text(run), str(run.settings["level"]), *(found.get(x, "") for x in AREA_NAMES)]
        )
    if not rows:
        return ""
    headers = ["method", "level", "CPR", "CMD", "log-axis CMD"]
    table = markdown_table(headers, rows, numbers_from=2)
    return (
        f"#### Less {BASE}\n\n{table}\nPaired over the same pairs, 95% intervals; p adjusted by the "
        "maximum over all numbers of a comparison and times "
        f"{len(others)} comparisons ({ALPHA:g} is the usual bar).\n"
    )


def tables(folder: Path) -> str:
    """Leaderboards and paired differences of all that is there."""
    found = [path for path in folder.glob("*/*_circuit") if path.is_dir()]
    if not found:
        return "Nothing is there yet.\n"
    board = make_leaderboard(newest(tell_apart(read_results(found).runs), []))
    text = leaderboard_markdown(board)
    groups: dict[tuple[str, str], list[Run]] = {}
    for entry in board.entries:
        groups.setdefault((entry.run.task, entry.run.model), []).append(entry.run)
    for (task, model), runs in groups.items():
        text += f"\n### {task} on {model}\n\n{paired(runs)}"
    return text


def main() -> int:
    """Run what is not there yet, then print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field")
    parser.add_argument("folder", nargs="?", default="build/learned")
    parser.add_argument(
        "--models", nargs="+", choices=("default", "gemma"), default=["default", "gemma"]
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--methods", nargs="+", help="names; by default all of the sweep's")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    folder = Path(options.folder)
    if not options.table:
        file = make_sweep(options, folder)
        if code := harness_circuits(["sweep", str(file), "--results", str(folder)]):
            return code
    print(tables(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
