"""What a step of learning masks takes, on the default model and IOI, as a Markdown table.

    python -m benchmarks.learned [MODEL]      one core; about two minutes

MODEL is a file or folder in place of the default model (Gemma's: `python -m benchmarks.gemma`).
CPU seconds of this process, one thread, beside an EAP-IG-inputs run of five points on the same pairs.
What is prepared once (shared prefixes, corrupted runs) is left out of a step: two runs of different
length are subtracted. How good circuits are: `harness-circuits sweep benchmarks/sweeps/learned.yaml`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

from benchmarks.cases import CASES, load, pairs
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.scores import GRAPH_LEVELS
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches

FEW, MANY = 2, 6
PAIRS = (1, 8)


def main() -> None:
    """Print the table."""
    case = CASES["ioi"].first(max(PAIRS))
    case = replace(case, pretrained=sys.argv[1] if len(sys.argv) > 1 else None)
    model = load(case)
    found = pairs(case, model)
    print("| level | pairs a step | seconds a step | EAP-IG-inputs on them, seconds |")
    print("|---|---:|---:|---:|")
    for level in GRAPH_LEVELS:
        for n in PAIRS:
            job = Job(model, make_batches(found[:n], n), METRICS.get(case.metric), level)
            few, many = (seconds(job, "MAttr", steps=steps) for steps in (FEW, MANY))
            baseline = seconds(job, "EAP-IG-inputs")
            print(f"| {level} | {n} | {(many - few) / (MANY - FEW):.2f} | {baseline:.2f} |")


def seconds(job: Job, method: str, **options: Any) -> float:
    """CPU seconds of a run."""
    started = time.process_time()
    attribute(job, method, **options)
    return time.process_time() - started


if __name__ == "__main__":
    main()
