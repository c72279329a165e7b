"""Where the time of discovery and of a curve goes, by PyTorch operator.

python -m benchmarks.operators [CASE]     a case of `benchmarks.cases`; by default `quick`
"""

from __future__ import annotations

import argparse

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.cases import CASES
from benchmarks.stages import Stage, Workload

ROWS = 8


def main() -> None:
    """Print a table per stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("case", nargs="?", default="quick", choices=sorted(CASES))
    torch.set_num_threads(1)
    work = Workload(CASES[parser.parse_args().case])
    curves = work.curves()
    for name in ("EAP-IG-inputs", "curve, edges"):
        stage = {**work.discovery(), **curves}[name]
        print("\n".join([f"| {name} | share of CPU time | calls |", "|---|---|---|", *rows(stage)]))
        print()


def rows(stage: Stage) -> list[str]:
    """The operators that take the most time of a stage, and all others together."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        stage()
    events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    lines = [
        f"| `{event.key}` | {event.self_cpu_time_total / total:.1%} | {event.count} |"
        for event in events[:ROWS]
    ]
    rest = events[ROWS:]
    share = sum(event.self_cpu_time_total for event in rest) / total
    return [*lines, f"| all others | {share:.1%} | {sum(event.count for event in rest)} |"]


if __name__ == "__main__":
    main()
