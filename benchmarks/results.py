"""Make `results/` of the default model, and the table of methods in docs/methods.md.

Usage: python -m benchmarks.results [FOLDER]      (as `make results`; several hours on one core)

Runs the sweeps of `benchmarks/sweeps/` in FOLDER (build/results), which keeps scores and circuits
of all cells, so that a second start goes on. Then copies what the repository keeps: result files and
values per example, with paths as seen from the repository, and the leaderboard.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from pathlib import Path

from harness_circuits.cli import main as harness_circuits
from harness_circuits.records import EXAMPLES_FILE, read_results
from harness_circuits.report.matching import newest
from harness_circuits.report.table import leaderboard_markdown, make_leaderboard

ROOT = Path(__file__).resolve().parent.parent
SWEEPS = ("methods", "compat", "suite")
KEPT = ROOT / "results"
PAGE = ROOT / "docs" / "methods.md"
PAGE_TASKS = ("ioi_circuit", "greater_than_circuit")
BEGIN, END = "<!-- table of methods: python -m benchmarks.results -->\n", "<!-- end of table -->\n"


def copy_results(made: Path, kept: Path) -> None:
    """Replace the kept cells by the made ones, without scores and circuits."""
    for folder in sorted(made.glob("*/*_circuit")):
        target = kept / folder.relative_to(made)
        shutil.rmtree(target, ignore_errors=True)
        for file in (*folder.glob("*.json"), *folder.rglob(EXAMPLES_FILE)):
            copy = kept / file.relative_to(made)
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text()
            for absolute, relative in ((f"{made}/", "results/"), (f"{ROOT}/", "")):
                text = text.replace(json.dumps(absolute)[1:-1], relative)
            copy.write_text(text)


def write_page(made: Path, page: Path) -> None:
    """Put the tables of the page's tasks between its marks."""
    folders = [folder for task in PAGE_TASKS for folder in made.glob(f"*/{task}")]
    tables = leaderboard_markdown(make_leaderboard(newest(read_results(folders).runs, [])))
    tables = tables.partition("\n")[2].replace("\n## ", "\n### ")  # without its title
    before, found, rest = page.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"{page} lacks {BEGIN.strip()} or {END.strip()}.")
    page.write_text(f"{before}{BEGIN}{tables}\n{END}{after}")


def main() -> int:
    """Run everything that is not there yet."""
    made = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "results").resolve()
    for name in SWEEPS:
        sweep = ROOT / "benchmarks" / "sweeps" / f"{name}.yaml"
        if code := harness_circuits(["sweep", str(sweep), "--results", str(made)]):
            return code
    copy_results(made, KEPT)
    write_page(made, PAGE)
    with contextlib.chdir(made):  # so that the tables name files as the repository does
        folders = sorted(map(str, Path().glob("*/*_circuit")))
        return harness_circuits(["leaderboard", *folders, "--output", str(KEPT)])


if __name__ == "__main__":
    sys.exit(main())
