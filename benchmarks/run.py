"""Measure this package against the plain HuggingFace model, and print a table.

    python -m benchmarks.run                 all cases, on one core; about half an hour
    python -m benchmarks.run --quick         one small random model; under three minutes
    python -m benchmarks.run --memory        peaks of memory, without the times of cases
    python -m benchmarks.run --quick --check exit code 1 where a ratio is far over its usual value
    python -m benchmarks.run --device cuda --dtype bfloat16   the same on a GPU
    python -m benchmarks.run --json FILE     the same numbers as JSON, written after each measurement

Ratios are between CPU times (on a GPU, wall times) of one process, where plain passes and ours take
turns. Every measurement has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, SCALING
from benchmarks.table import check, memory_table, outside_table, time_table

ROOT = Path(__file__).resolve().parent.parent
MIB = 2**20
ALL_CASES = ["ioi", "greater-than", "docstring", "smollm2-ioi", "gpt2-small"]
MEASURED_MEMORY: tuple[tuple[str, str, int | None], ...] = (
    ("smollm2-ioi", "EAP-IG-inputs", None),
    ("smollm2-ioi", "curve, edges, both rankings", None),
    ("gpt2-small-256-tokens", "EAP-IG-inputs", 1024 * MIB),
    ("gpt2-small-256-tokens", "curve, edges", 1024 * MIB),
    ("gpt2-4x-edges", "EAP-IG-inputs", 1024 * MIB),
    ("gpt2-4x-edges", "curve, edges", 1024 * MIB),
    ("ioi-20", "EAP-IG-inputs", 1024 * MIB),  # runs side by side behind the shared prefix
    ("ioi-20", "curve, edges, both rankings", 1024 * MIB),
    ("ioi-20", "curve, edges, both rankings", 512 * MIB),
)


def measure(threads: int, module: str = "benchmarks.child", **request: Any) -> dict[str, Any]:
    """Run one measurement in a process of its own.

    Raises:
        subprocess.CalledProcessError: It failed; its messages are on stderr.
    """
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [sys.executable, "-m", module, json.dumps(request)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All measurements that were asked for; what there is, after each of them."""
    threads, repeats = arguments.threads, arguments.repeats
    cases = ["quick"] if arguments.quick else arguments.cases or ALL_CASES
    if not arguments.quick and not arguments.cases and not arguments.no_scaling:
        cases = [*cases, *SCALING]
    place = {"device": arguments.device, "dtype": arguments.dtype}
    found: dict[str, Any] = {"machine": measure(threads, kind="machine"), "threads": threads}
    found |= {**place, "times": {}, "llama": measure(threads, kind="llama"), "memory": []}
    for case in [] if arguments.memory else cases:
        how = {"case": case, "repeats": repeats, **place}
        found["times"][case] = measure(threads, kind="times", **how)
        yield found
    memory = [("quick", "EAP-IG-inputs", 256 * MIB)] if arguments.quick else MEASURED_MEMORY
    for case, stage, bound in [] if arguments.cases else memory:
        how = {"case": case, "stage": stage, "max_memory": bound, **place}
        peak = measure(threads, kind="peak", **how)
        found["memory"].append({"case": case, "stage": stage, **peak})
        yield found
    short = arguments.quick or arguments.cases or arguments.memory
    if not short and arguments.device == "cpu":
        found["end_to_end"] = measure(threads, kind="end to end")
        yield found


def show(found: dict[str, Any]) -> str:
    """All tables, as Markdown."""
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}; {found['threads']} thread(s); load {machine['load_average']}",
        f"{machine['gpu'] or 'no GPU'}; measured on {found['device']} in {found['dtype']}",
        versions,
        "",
        *(line for case, times in found["times"].items() for line in time_table(case, times)),
        *outside_table(found),
        *memory_table(found["memory"]),
    ]
    if "end_to_end" in found:
        run = found["end_to_end"]
        lines += [
            "lm_eval --model circuit --tasks ioi_circuit, start to finish: "
            f"{run['total']:.0f} s, forward passes {run['forward']:.0f} s, backward passes "
            f"{run['backward']:.0f} s: {run['inside']:.0%} inside forward and backward passes."
        ]
    return "\n".join(lines)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="one small random model")
    parser.add_argument("--check", action="store_true", help="fail where a ratio is far too high")
    parser.add_argument(
        "--cases", nargs="+", choices=sorted(CASES), help="time these cases alone, no memory"
    )
    parser.add_argument("--memory", action="store_true", help="time no case")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the best one counts")
    parser.add_argument("--no-scaling", action="store_true", help="leave out cost against size")
    arguments = parser.parse_args()
    for found in run(arguments):
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    print(show(found))
    problems = check(found) if arguments.check else []
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
