"""A whole run of this tree against one of an earlier commit, in turns, by CPU time.

    python -m benchmarks.against 19738ec                     the default job, start to finish
    python -m benchmarks.against 644722a --rounds 3          the smallest of three rounds each
    python -m benchmarks.against 19738ec --task sva_circuit -- --limit 20 --model_args n_discovery=20

What follows `--` goes to `lm_eval --model circuit --tasks TASK`. The commit is checked out into
a folder of its own, which is removed afterwards; both runs use the environment of this process, so that
only this package differs. CPU time is what the system counted for the finished process and its children,
imports and loading included; seconds of a stage are those that the results file of the run has.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
JOB = ("--model", "circuit", "--device", "cpu")
# `python -m lm_eval`, connected by the start-up file of the tree that it runs in: the environment's
# belongs to the installed package, and may look for modules that another tree has elsewhere.
START = """
import runpy, sys
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "LmEvalFinder"]
import harness_circuits_startup
harness_circuits_startup.install()
runpy.run_module("lm_eval", run_name="__main__", alter_sys=True)
"""
AREAS = ("cpr", "cmd")
STAGES = ("load", "discovery", "evaluation")
Run = dict[str, float]


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the tree of a commit, removed in the end.

    Raises:
        subprocess.CalledProcessError: There is no such commit; git's message is on stderr.
    """
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def run(tree: Path, task: str, threads: int, more: Sequence[str]) -> Run:
    """CPU seconds, wall seconds of the stages and areas of a task's run by the package in `tree`.

    Raises:
        subprocess.CalledProcessError: The run failed; its messages are on stderr.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1"}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[name] = str(threads)
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-c", START, *JOB, "--tasks", task, "--output_path", out]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        quiet = {"env": environment, "stdout": subprocess.DEVNULL}
        subprocess.run([*command, *more], cwd=tree, check=True, **quiet)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        (file,) = Path(out).rglob("results_*.json")
        data = json.loads(file.read_text())
    facts = data["config"]["circuit"]["tasks"][task]
    facts["load_seconds"] = data["config"]["circuit"]["load_seconds"]
    areas = data["results"][task]
    return {
        "CPU": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        **{stage: float(facts[f"{stage}_seconds"]) for stage in STAGES},
        **{area: float(areas[f"{area},none"]) for area in AREAS},
    }


def table(commit: str, before: Sequence[Run], now: Sequence[Run]) -> str:
    """Both runs and their ratio, each figure the smallest of its rounds; areas are equal in all."""
    rows = [f"| | {commit} | this tree | ratio |", "|---|---|---|---|"]
    for name in before[0]:
        old, new = min(found[name] for found in before), min(found[name] for found in now)
        if name in AREAS:
            rows.append(f"| {name} | {old:.6f} | {new:.6f} | |")
        else:
            unit = "CPU s, start to finish" if name == "CPU" else f"{name}, wall s"
            rows.append(f"| {unit} | {old:.1f} | {new:.1f} | {new / old:.2f} |")
    ratios = ", ".join(f"{n['CPU'] / b['CPU']:.3f}" for b, n in zip(before, now, strict=True))
    return "\n".join([*rows, "", f"Ratios of CPU time, round by round: {ratios}"])


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("commit", help="what to compare with")
    parser.add_argument("--task", default="ioi_circuit")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    mine = sys.argv[1:]
    end = mine.index("--") if "--" in mine else len(mine)
    arguments, more = parser.parse_args(mine[:end]), mine[end + 1 :]
    found: tuple[list[Run], list[Run]] = ([], [])
    with checked_out(arguments.commit) as earlier:
        for number in range(arguments.rounds):
            for tree, runs in zip((earlier, ROOT), found, strict=True):
                runs.append(run(tree, arguments.task, arguments.threads, more))
                print(f"round {number + 1}: {runs[-1]}", file=sys.stderr, flush=True)
    print(table(arguments.commit, *found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
