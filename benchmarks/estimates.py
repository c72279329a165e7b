"""Peak memory of every method at every level against the estimate that `max_memory` goes by.

Usage: OMP_NUM_THREADS=1 python -m benchmarks.estimates

One batch of 8 random pairs of 64 tokens and a random GPT-2 of 4 layers, 4 heads, width 256; each
measurement has a process of its own. The estimate is the least `max_memory` that lets the pairs go into
one pass, without the fifth that is kept back: with it, a peak may be 1.25 times the estimate.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.cases import gpt2, load, pairs
from benchmarks.measure import peak_above
from harness_circuits.attribution import METHODS, Job, attribute
from harness_circuits.circuits.scores import Level
from harness_circuits.errors import OptionError
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.tokenise import TokenPair
from harness_circuits.passes.memory import SHARE_USED, Needs, pairs_per_pass

CASE = gpt2(4, 4, 256, n_pairs=8, n_tokens=64)
MIB = 2**20


def estimate(model: CircuitModel, own: list[TokenPair], needs: Needs) -> int:
    """Bytes that the package takes all pairs in one pass to need."""
    low, high = 0, 2**40
    while high - low > MIB // 8:
        middle = (low + high) // 2
        try:
            fits = pairs_per_pass(model, own, middle, needs=needs) >= len(own)
        except OptionError:
            fits = False
        low, high = (low, middle) if fits else (middle, high)
    return int(high * SHARE_USED)


def measure(method: str, level: Level) -> str:
    """One row of the table."""
    model = load(CASE)
    own = pairs(CASE, model)
    (batch,) = make_batches(own, len(own))
    model.forward(batch.clean)  # what any run of the model loads and allocates
    job = Job(model, [batch], METRICS.get("logit_diff"), level)
    options = METHODS.get(method).defaults
    peak = peak_above(lambda: attribute(job, method, **options))["peak_bytes"]
    expected = estimate(model, own, METHODS.get(method).needs(level, options))
    sizes = f"{expected / MIB:.0f} | {peak / MIB:.0f} | {peak / expected:.2f}"
    return f"| {method} | {level} | {sizes} |"


def main() -> None:
    """Print the table, or one row of it."""
    if len(sys.argv) == 3:
        print(measure(*sys.argv[1:]))
        return
    print("| method | level | estimate, MiB | peak, MiB | peak / estimate |\n|---|---|---|---|---|")
    for name in METHODS:
        for level in METHODS.get(name).levels if name not in ("ensemble", "random") else ():
            command = [sys.executable, "-m", "benchmarks.estimates", name, level]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
