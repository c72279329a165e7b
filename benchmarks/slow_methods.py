"""What the slow methods run, against what they need at least, on pairs of the main task.

    python -m benchmarks.slow_methods              one core; about ten minutes
    python -m benchmarks.slow_methods --pairs 2    the counts alone are the same for any number

Work is counted in tokens times layers: a token that passes one block is 1, with gradients 3 (a backward
pass counts as two forward passes). The attention that AtP-star's QK fix recomputes is counted apart, as
it is a part of a block. The least work of each method is worked out here from its definition:

- `exact`, nodes: both runs; a unit of layer l changes nothing before it, so that it needs L - l blocks.
- EAP-IG-activations, `sites=own`, S steps: both runs, the clean run with gradients, which ends all paths,
  and S - 1 runs with gradients for each of two sites a layer, from that layer on, and for the input.
- AtP-star: both runs; one run forward, which is the same for all dropped layers, and L backward. QK fix:
  the attention of layer l once for each source before it.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.cases import CASES
from benchmarks.stages import Workload
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Level
from harness_circuits.models.layer import Layer
from harness_circuits.passes.native import NativeRun
from harness_circuits.passes.shared_prefix import behind_shared_prefix

STEPS = 5
METHODS: tuple[tuple[str, Level], ...] = (
    ("EAP-IG-activations", "edge"),
    ("AtP-star", "node"),
    ("exact", "node"),
)


def least(method: str, graph: Graph) -> tuple[int, int]:
    """Blocks per token that a method needs at least, and attention recomputed, in its own units."""
    n = graph.n_layers
    below = sum(n - layer for layer in range(n))
    if method == "exact":
        return 2 * n + n + (graph.n_heads + 1) * below, 0
    if method == "EAP-IG-activations":
        return 2 * n + 3 * n + 3 * (STEPS - 1) * (n + 2 * below), 0
    sources = sum(int(graph.n_visible[graph.head_destination(layer)]) for layer in range(n))
    return 2 * n + n + 2 * n * n, sources


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count tokens that pass blocks, with gradients three times, and those projected outside of one."""
    counts: Counter[str] = Counter()
    block, project = NativeRun.__call__, Layer.project

    def run_block(self: NativeRun, index: int, x: torch.Tensor, arguments: dict[str, Any]) -> Any:
        out = block(self, index, x, arguments)
        if index >= self.first:
            n = out.shape[0] * out.shape[1]
            counts["blocks"] += n * (3 if torch.is_grad_enabled() else 1)
            counts["projected"] -= n
        return out

    def run_projections(self: Layer, x: torch.Tensor) -> Any:
        counts["projected"] += x.shape[0] * x.shape[1]
        return project(self, x)

    NativeRun.__call__, Layer.project = run_block, run_projections  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        NativeRun.__call__, Layer.project = block, project  # type: ignore[method-assign]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--methods", nargs="*", default=[name for name, _ in METHODS])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    work = Workload(CASES["ioi"].first(arguments.pairs))
    model, graph = work.model, work.model.graph
    tokens = sum(behind_shared_prefix(model, b).clean.ids.numel() for b in work.batches)
    print(f"{arguments.pairs} pairs, {tokens} tokens behind what clean and corrupted share.\n")
    print("| method | blocks a token, at least | run | ratio | attention | run | CPU s | wall s |")
    print("|---|---|---|---|---|---|---|---|")
    work.attribute("EAP")  # what any run loads and allocates
    for method, level in METHODS:
        if method not in arguments.methods:
            continue
        job = Job(model, work.batches, work.metric, level)
        with counted() as counts:
            cpu, wall = time.process_time(), time.perf_counter()
            attribute(job, method)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        blocks, attention = least(method, graph)
        ran = counts["blocks"] / tokens
        print(
            f"| {method}, {level} | {blocks} | {ran:.0f} | {ran / blocks:.2f} | {attention} | "
            f"{counts['projected'] / tokens:.0f} | {cpu:.0f} | {wall:.0f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
