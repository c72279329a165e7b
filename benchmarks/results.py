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
from collections.abc import Sequence
from pathlib import Path

from harness_circuits.commands.main import main as harness_circuits
from harness_circuits.machine.files import write_checksums
from harness_circuits.records.checksum import sign
from harness_circuits.records.results_file import EXAMPLES_FILE, read_results
from harness_circuits.records.run import Run, tell_apart
from harness_circuits.report.comparison.compare import ALPHA, compare, method_text
from harness_circuits.report.comparison.matching import newest
from harness_circuits.report.markdown import interval_text, markdown_table
from harness_circuits.report.table import leaderboard_markdown, make_leaderboard
from harness_circuits.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
SWEEPS = ("methods", "compat", "suite")
KEPT = ROOT / "results"
PAGE = ROOT / "docs" / "methods.md"
PAGE_METHOD = "EAP-IG-inputs"
AREA_NAMES = ("cpr", "cmd", "cmd_log")
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
            copy.write_text(text if file.name == EXAMPLES_FILE else signed_again(text))
            if file.name == EXAMPLES_FILE:
                write_checksums(copy.parent, [EXAMPLES_FILE])


def signed_again(text: str) -> str:
    """A result whose paths were changed, with the checksum that it has now, if it had one."""
    data = json.loads(text)
    if "checksum" not in data["config"]["circuit"]:
        return text
    sign(data)
    return json.dumps(data, indent=2, ensure_ascii=False)


def against(name: str, runs: Sequence[Run]) -> str:
    """Every method's areas less those of one method, on the same examples, as Markdown."""
    wanted = Settings(method=name, n_discovery=12).to_dict()
    (base,) = (r for r in runs if all(wanted[key] == value for key, value in r.settings.items()))
    others = [run for run in runs if run is not base]
    cells: dict[str, dict[str, str]] = {}
    for run in others:
        for row in compare([base], [run], across_settings=True).rows:
            if row.metric not in AREA_NAMES:
                continue
            text = interval_text(row.difference.estimate, "+")
            better = (row.difference.estimate.value > 0) == row.higher_is_better
            unsure = row.adjusted_p is None or row.adjusted_p * len(others) > ALPHA
            sign = "" if unsure else " better" if better else " worse"
            cells.setdefault(method_text(run), {})[row.metric] = f"{text}{sign}"
    table = [[method, *(found[area] for area in AREA_NAMES)] for method, found in cells.items()]
    headers = ["method", "CPR", "CMD", "log-axis CMD"]
    return (
        f"### {base.task}: less {method_text(base)}\n\n{markdown_table(headers, table, numbers_from=1)}\n"
        f"Paired over the same pairs, 95% intervals; better or worse where p is at most {ALPHA:g}, "
        "adjusted by the maximum over all numbers of a comparison (areas and points of both rankings) "
        f"and times {len(others)} comparisons.\n"
    )


def write_page(made: Path, page: Path) -> None:
    """Put the tables of the page's tasks between its marks."""
    folders = [folder for task in PAGE_TASKS for folder in made.glob(f"*/{task}")]
    board = make_leaderboard(newest(tell_apart(read_results(folders).runs), []))
    tables = leaderboard_markdown(board)
    tables = tables.partition("\n")[2].replace("\n## ", "\n### ")  # without its title
    for task in PAGE_TASKS:
        runs = [entry.run for entry in board.entries if entry.run.task == task]
        tables += f"\n{against(PAGE_METHOD, runs)}"
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
