"""Make `results/`, and the table of methods in docs/methods.md.

Usage: python -m benchmarks.results [FOLDER] [--only {sweep,publish}]      (as `make results`)

Runs the sweeps of `benchmarks/sweeps/` and the field of learned masks (`benchmarks.field`) in FOLDER
(build/results), one after the other. FOLDER keeps scores and circuits of all cells, and cells whose
results the repository keeps count as done, so that a second start goes on. Then publishes what is there,
all cells or not: copies what the repository keeps (result files, values per example, what drawings
need, with paths as seen from the repository), and makes tables and leaderboard of it. The cells take
many hours: `--only sweep` in several sessions, `--only publish` at any time between them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import field
from benchmarks.gemma import gemma
from benchmarks.kept import copy_results, put_back
from harness_circuits.commands.main import main as harness_circuits
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.loading.default_model import DISPLAY_NAME
from harness_circuits.records.results_file import read_results
from harness_circuits.records.run import Run, tell_apart
from harness_circuits.report.comparison.compare import ALPHA, compare, method_text
from harness_circuits.report.comparison.matching import newest
from harness_circuits.report.markdown import interval_text, markdown_table
from harness_circuits.report.table import leaderboard_markdown, make_leaderboard
from harness_circuits.settings import Settings
from harness_circuits.sweep.cell import Cell
from harness_circuits.sweep.config import read_config
from harness_circuits.sweep.grid import make_grid

ROOT = Path(__file__).resolve().parent.parent
SWEEPS = ("default", "second_model", "slow", "compat")
PAIRS = 200
KEPT = ROOT / "results"
PAGE = ROOT / "docs" / "methods.md"
PAGE_METHOD = "EAP-IG-inputs"
PAGE_TASKS = ("ioi_circuit", "greater_than_circuit")
README = KEPT / "README.md"
UNTIMED = ("discovery_seconds", "seconds", "peak_mib")  # other work ran on the machine
BEGIN, END = "<!-- by python -m benchmarks.results -->\n", "<!-- end -->\n"


def sweep_file(name: str) -> Path:
    """The file of one of the sweeps."""
    return ROOT / "benchmarks" / "sweeps" / f"{name}.yaml"


def all_cells() -> list[Cell]:
    """Every cell of the sweeps, then of the field of learned masks (`benchmarks.field`)."""
    own = [cell for name in SWEEPS for cell in make_grid(read_config(sweep_file(name)))]
    return [*own, *field.all_cells()]


def run_sweeps(made: Path) -> int:
    """Run every cell that has no result yet; returns the worst exit code."""
    put_back([run.file for run in done(all_cells(), kept_runs())], KEPT, made)
    names, models = list(SWEEPS), ["default", "gemma"]
    try:
        gemma(ROOT / "build" / "gemma")
    except SystemExit as error:
        print(f"The second model is left out: {error}", file=sys.stderr)
        names.remove("second_model")
        models.remove("gemma")
    learned = field.make_parser().parse_args(["--models", *models])
    files = [*map(sweep_file, names), *field.make_sweeps(learned, made.with_name("field"))]
    worst = 0
    for file in files:
        code = harness_circuits(["sweep", str(file), "--results", str(made)])
        if code > 1:
            return code
        worst = max(worst, code)
    return worst


def kept_runs() -> list[Run]:
    """The results that the repository keeps."""
    return list(read_results(sorted(KEPT.glob("*/*_circuit"))).runs)


def older(kept: Sequence[Run], runs: Sequence[Run]) -> list[Run]:
    """Kept runs that are no cell's, of what no cell has been run for yet: by fewer pairs, say."""
    there = {(run.model, run.task, method_text(run)) for run in runs}
    return [run for run in kept if (run.model, run.task, method_text(run)) not in there]


def done(cells: Iterable[Cell], runs: Sequence[Run]) -> list[Run]:
    """The newest run of each cell that has one, whatever version of the package made it."""
    return [found[-1] for cell in cells if (found := _runs_of(cell, runs))]


def _runs_of(cell: Cell, runs: Sequence[Run]) -> list[Run]:
    model = Path(cell.model.get("pretrained", DISPLAY_NAME)).name  # also where the file is not here
    wanted = cell.settings.to_dict()
    found = [
        run
        for run in runs
        if run.file.parent.parts[-2:] == (model, cell.task)
        and all(run.settings.get(key, value) == value for key, value in wanted.items())
    ]
    return sorted(found, key=lambda run: run.date)


def against(base: Run, runs: Sequence[Run]) -> str:
    """Every method's areas less those of one run, on the same examples, as Markdown."""
    others = [run for run in runs if run is not base]
    cells: dict[str, dict[str, str]] = {}
    for run in others:
        for row in compare([base], [run], across_settings=True).rows:
            if row.metric not in AREAS:
                continue
            text = interval_text(row.difference.estimate, "+")
            better = (row.difference.estimate.value > 0) == row.higher_is_better
            unsure = row.adjusted_p is None or row.adjusted_p * len(others) > ALPHA
            sign = "" if unsure else " better" if better else " worse"
            cells.setdefault(method_text(run), {})[row.metric] = f"{text}{sign}"
    table = [[method, *(found[area] for area in AREAS)] for method, found in cells.items()]
    headers = ["method", "CPR", "CMD", "log-axis CMD"]
    return (
        f"### {base.task}: less {method_text(base)}\n\n{markdown_table(headers, table, numbers_from=1)}\n"
        f"Paired over the same pairs, 95% intervals; better or worse where p is at most {ALPHA:g}, "
        "adjusted by the maximum over all numbers of a comparison (areas and points of both rankings) "
        f"and times {len(others)} comparisons.\n"
    )


def write_page(runs: Sequence[Run], of: int, page: Path) -> None:
    """Put the tables of the page's tasks between its marks.

    Args:
        runs: The runs of all cells that have one.
        of: How many cells there are.
        page: The page.
    """
    chosen = [
        run
        for run in runs
        if run.task in PAGE_TASKS
        and run.file.parent.parent.name == DISPLAY_NAME
        and run.settings.get("n_discovery") == PAIRS
    ]
    if not chosen:
        return  # its tables of older results stay
    text = f"""
SmolLM2-135M-Instruct-Q4_1, patching, {PAIRS} training and {PAIRS} test pairs. CMD and log-axis CMD
rank by |score|, CPR by score. Made by `make results`: {so_far(len(runs), of)}
"""
    board = make_leaderboard(newest(tell_apart(chosen), []), without=UNTIMED)
    text += leaderboard_markdown(board).partition("\n")[2].replace("\n## ", "\n### ")
    for task in PAGE_TASKS:
        own = [entry.run for entry in board.entries if entry.run.task == task]
        text += "".join(f"\n{against(base, own)}" for base in own if _is_base(base))
    put_between(page, f"{text}\n")


def put_between(page: Path, text: str) -> None:
    """Put a text between the marks of a page.

    Raises:
        SystemExit: It has no marks.
    """
    before, found, rest = page.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"{page} lacks {BEGIN.strip()} or {END.strip()}.")
    page.write_text(f"{before}{BEGIN}{text}{END}{after}")


def so_far(n: int, of: int, stay: Sequence[Run] = ()) -> str:
    """How much of the results is there, for people."""
    left = "" if n == of else "; the others have not been run yet"
    said = f"{n} of the {of} cells of `benchmarks/sweeps/` are here{left}."
    if stay:
        pairs = sorted({run.n_evaluation for run in stay})
        said += (
            f" Where no cell has taken their place, older results stay ({len(stay)}, of "
            f"{' or '.join(map(str, pairs))} test pairs): enough to tell methods from chance, not to "
            "tell close ones apart."
        )
    return said


def _is_base(run: Run) -> bool:
    wanted = Settings(method=PAGE_METHOD, n_discovery=PAIRS).to_dict()
    return all(run.settings.get(key, value) == value for key, value in wanted.items())


def publish(made: Path) -> int:
    """Copy what is there, and make the pages of it."""
    cells, kept = all_cells(), kept_runs()
    put_back([run.file for run in done(cells, kept)], KEPT, made)
    folders = sorted(folder for folder in made.glob("*/*_circuit") if folder.is_dir())
    runs = done(cells, read_results(folders).runs)
    if not runs:
        print(f"{made} has no cell of {', '.join(SWEEPS)} yet: nothing changed.", file=sys.stderr)
        return 1
    stay = older(kept, runs)
    copy_results([run.file for run in runs], made, KEPT, [run.file for run in stay])
    said = so_far(len(runs), len(cells), stay)
    write_page(runs, len(cells), PAGE)
    put_between(README, f"{said}\n")
    with contextlib.chdir(ROOT):  # so that the tables name files as the repository does
        files = sorted(map(str, Path("results").glob("*/*_circuit")))
        note = said.replace("`", "")
        code = harness_circuits(
            ["leaderboard", *files, "--output", "results", "--note", note, "--without", *UNTIMED]
        )
    print(said)
    return code


def main() -> int:
    """Run everything that is not there yet, publish what is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results")
    parser.add_argument("folder", nargs="?", default=str(ROOT / "build" / "results"))
    parser.add_argument("--only", choices=("sweep", "publish"), help="by default both")
    options = parser.parse_args()
    made = Path(options.folder).resolve()
    os.chdir(ROOT)  # the second model's file is given from here
    code = 0 if options.only == "publish" else run_sweeps(made)
    if options.only == "sweep" or code > 1:
        return code
    return publish(made) or code


if __name__ == "__main__":
    sys.exit(main())
