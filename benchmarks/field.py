"""Learned circuits beside gradients, on two real models: the tables of docs/learned.md.

Usage: python -m benchmarks.field [FOLDER] [--models default gemma] [--tasks ioi_circuit ...]
           [--pairs N] [--slow-pairs N] [--methods NAME ...] [--gemma FOLDER] [--plan | --table]

Runs the grid of `benchmarks/sweeps/learned.yaml` on some models and tasks, N training and N test pairs
(100), and prints per model and task the leaderboard and every method's areas less EAP-IG-inputs', paired
over the same pairs. On Gemma 3 270M, whose graph is small, ACDC and exact edges follow on IOI, found on
fewer training pairs (2), as is an EAP-IG-inputs beside them, and evaluated on the same test pairs.
Killed at any time, the same command goes on; `--plan` says what is left and how long it takes, `--table`
prints what there is. Gemma (see `benchmarks.gemma`) is fetched on first use, under its own terms.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from benchmarks.gemma import FILE as GEMMA_FILE
from benchmarks.gemma import gemma
from harness_circuits.commands.main import main as harness_circuits
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.records.results_file import read_results
from harness_circuits.records.run import Run, tell_apart
from harness_circuits.records.strict_yaml import read_yaml
from harness_circuits.report.comparison.compare import ALPHA, compare, method_text
from harness_circuits.report.comparison.matching import newest
from harness_circuits.report.markdown import interval_text, markdown_table
from harness_circuits.report.table import leaderboard_markdown, make_leaderboard
from harness_circuits.sweep.cell import Cell
from harness_circuits.sweep.config import read_config
from harness_circuits.sweep.grid import make_grid

SWEEP = Path(__file__).parent / "sweeps" / "learned.yaml"
BASE = "EAP-IG-inputs"
SLOW: list[Any] = [BASE, {"method": "ACDC", "tau_steps": 3}, "exact"]
SLOW_TASK = "ioi_circuit"
TASKS = ("ioi_circuit", "greater_than_circuit", "sva_circuit")


def make_sweeps(options: argparse.Namespace, folder: Path) -> list[Path]:
    """Write the sweeps of some models, tasks and pairs, and return their files."""
    known = {"default": "default", "gemma": str(Path(options.gemma) / GEMMA_FILE)}
    models = {name: known[name] for name in options.models}
    grid: dict[str, Any] = dict(read_yaml(SWEEP))
    grid |= {"models": list(models.values()), "tasks": list(options.tasks), "limit": options.pairs}
    grid["options"] = {**grid["options"], "n_discovery": options.pairs}
    grid["include"] = [rule for rule in grid["include"] if rule["task"] in options.tasks]
    grids = {"sweep": grid}
    if "gemma" in models and SLOW_TASK in options.tasks:
        slow = {**grid, "models": [models["gemma"]], "tasks": [SLOW_TASK], "include": []}
        slow["options"] = {**grid["options"], "n_discovery": options.slow_pairs}
        grids["slow"] = {**slow, "methods": SLOW}
    files = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, each in grids.items():
        chosen = _some(each, options.methods) if options.methods else each
        if name == "slow" and chosen["methods"] == [BASE]:
            continue
        if chosen["methods"]:
            files.append(folder / f"{name}.yaml")
            files[-1].write_text(yaml.safe_dump(chosen, sort_keys=False))
    return files


def _some(grid: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A grid with some of its methods."""
    rules = [{**rule, "method": _chosen(rule["method"], names)} for rule in grid["include"]]
    rules = [rule for rule in rules if rule["method"]]
    return {**grid, "methods": _chosen(grid["methods"], names), "include": rules}


def _chosen(methods: Sequence[Any], names: Sequence[str]) -> list[Any]:
    return [one for one in methods if _name(one) in names]


def _name(method: Any) -> str:
    return str(method if isinstance(method, str) else method["method"])


def paired(runs: Sequence[Run]) -> str:
    """Areas less those of `BASE` at the same level and found on the same pairs, as Markdown."""
    rows = []
    bases = {_same(run): run for run in runs if run.settings["method"] == BASE}
    others = [run for run in runs if run.settings["method"] != BASE]
    for run in others:
        base = bases.get(_same(run))
        if base is None:
            continue
        found = {}
        for row in compare([base], [run], across_settings=True).rows:
            if row.metric in AREAS:
                p = None if row.adjusted_p is None else min(1.0, row.adjusted_p * len(others))
                text = interval_text(row.difference.estimate, "+")
                found[row.metric] = text if p is None else f"{text}, p {p:.2g}"
        what = method_text(run), str(run.settings["level"]), str(run.n_discovery)
        rows.append([*what, *(found.get(x, "") for x in AREAS)])
    if not rows:
        return ""
    headers = ["method", "level", "training pairs", "CPR", "CMD", "log-axis CMD"]
    table = markdown_table(headers, rows, numbers_from=2)
    return (
        f"#### Less {BASE}\n\n{table}\nPaired over the same pairs, 95% intervals; p adjusted by the "
        "maximum over all numbers of a comparison and times "
        f"{len(others)} comparisons ({ALPHA:g} is the usual bar).\n"
    )


def _same(run: Run) -> tuple[str, int]:
    return str(run.settings["level"]), run.n_discovery


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


def all_cells() -> list[Cell]:
    """Every cell of the whole field."""
    with TemporaryDirectory() as folder:
        files = make_sweeps(make_parser().parse_args([]), Path(folder))
        return [cell for file in files for cell in make_grid(read_config(file))]


def make_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field")
    parser.add_argument("folder", nargs="?", default="build/learned")
    parser.add_argument(
        "--models", nargs="+", choices=("default", "gemma"), default=["default", "gemma"]
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--slow-pairs", type=int, default=2, help="training pairs of ACDC, exact")
    parser.add_argument("--methods", nargs="+", help="names; by default all of the sweep's")
    parser.add_argument("--gemma", default="build/gemma", help="where its wheels are, or will be")
    parser.add_argument("--plan", action="store_true", help="say what there is to do, run nothing")
    parser.add_argument("--table", action="store_true", help="run nothing, print what there is")
    return parser


def main() -> int:
    """Run what is not there yet, then print the tables."""
    options = make_parser().parse_args()
    folder = Path(options.folder)
    if "gemma" in options.models and not options.table:
        gemma(Path(options.gemma))
    for file in () if options.table else make_sweeps(options, folder):
        plan = ["--dry-run"] if options.plan else []
        if code := harness_circuits(["sweep", str(file), "--results", str(folder), *plan]):
            return code
    if not options.plan:
        print(tables(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
