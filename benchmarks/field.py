"""Learned circuits beside gradients, on two real models: the tables of docs/learned.md.

Usage: python -m benchmarks.field [FOLDER] [--models default gemma] [--tasks ioi_circuit ...]
           [--pairs N] [--slow-pairs N] [--methods NAME ...] [--gemma FOLDER] [--plan | --table]

Runs the grid of `benchmarks/sweeps/learned.yaml` on some models and tasks, N training and N test pairs
(100), and prints per model and task every method's areas, and what CMD and log-axis CMD are less those of
EAP-IG-inputs, paired over the same pairs. On Gemma 3 270M, whose graph is small, ACDC and exact edges
follow on IOI, found on fewer training pairs (2), as is an EAP-IG-inputs beside them, and evaluated on the
same test pairs.
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
from harness_circuits.report.comparison.compare import ALPHA, compare
from harness_circuits.report.comparison.matching import newest
from harness_circuits.report.markdown import interval_text, markdown_table
from harness_circuits.report.scoring import Entry, make_entry
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


def table(runs: Sequence[Run]) -> str:
    """One task on one model, by CMD: areas, and those less `BASE`'s of the same level and pairs."""
    entries = sorted(map(make_entry, runs), key=lambda entry: _value(entry, "cmd"))
    bases = {_same(run): run for run in runs if run.settings["method"] == BASE}
    n_compared = sum(_same(run) in bases and bases[_same(run)] is not run for run in runs)
    several = len({run.n_discovery for run in runs}) > 1
    rows = []
    for entry in entries:
        run, base = entry.run, bases.get(_same(entry.run))
        less = {} if base is None or base is run else differences(base, run, n_compared)
        row = own_cells(entry, n_discovery=several)
        rows.append([*row, less.get("cmd", ""), less.get("cmd_log", "")])
    texts = ["method", "level", "training pairs"][: 2 + several]
    names = ["CPR", "CMD", "log-axis CMD", "accuracy area", "discovery, s", "peak, MiB"]
    headers = [*texts, *names, f"CMD less {BASE}", f"log-axis CMD less {BASE}"]
    return markdown_table(headers, rows, numbers_from=2)


def own_cells(entry: Entry, *, n_discovery: bool) -> list[str]:
    """The cells of a row that say nothing of other runs."""
    run = entry.run
    shown = [interval_text(entry.values[name]) for name in (*AREAS, "accuracy")]
    peak = "" if run.peak_bytes is None else f"{run.peak_bytes / 2**20:.0f}"
    texts = [short_name(run), str(run.settings["level"]), str(run.n_discovery)][: 2 + n_discovery]
    return [*texts, *shown, f"{run.discovery_seconds:.1f}", peak]


def differences(base: Run, run: Run, n_compared: int) -> dict[str, str]:
    """Areas less another's, paired over the same pairs, p adjusted for all comparisons of a table."""
    found = {}
    for row in compare([base], [run], across_settings=True).rows:
        if row.metric in AREAS:
            text = interval_text(row.difference.estimate, "+")
            p = None if row.adjusted_p is None else min(1.0, row.adjusted_p * n_compared)
            found[row.metric] = text if p is None else f"{text}, p {p:.2g}"
    return found


def short_name(run: Run) -> str:
    """A method, and of MAttr what its variants differ in."""
    method, options = str(run.settings["method"]), run.settings["method_options"]
    if method != "MAttr":
        return method
    warm = [] if options["start"] == "none" else ["warm"]
    return ", ".join([method, f"`{options['objective']}`", *warm, f"`{options['k_sampling']}`"])


def _value(entry: Entry, name: str) -> float:
    return entry.values[name].value


def _same(run: Run) -> tuple[str, int]:
    return str(run.settings["level"]), run.n_discovery


def tables(folder: Path) -> str:
    """A table of every task on every model that is there."""
    found = [path for path in folder.glob("*/*_circuit") if path.is_dir()]
    if not found:
        return "Nothing is there yet.\n"
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in newest(tell_apart(read_results(found).runs), []):
        groups.setdefault((run.model, run.task), []).append(run)
    text = (
        f"95% intervals over pairs; less {BASE}: paired over the same pairs, of the same level and as "
        "many training pairs, p adjusted by the maximum over all numbers of a comparison and times the "
        f"comparisons of a table ({ALPHA:g} is the usual bar).\n"
    )
    for (model, task), runs in sorted(groups.items()):
        n = ", ".join(map(str, sorted({run.n_evaluation for run in runs})))
        text += f"\n### {task} on {model}, {n} test pairs\n\n{table(runs)}"
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
