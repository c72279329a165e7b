"""CPU time per token of a circuit against the full model, run side by side on SmolLM2.

Usage: python benchmarks/any_benchmark_cost.py
"""

from __future__ import annotations

import time

import numpy as np
import torch

from harness_circuits.ablation import zeros
from harness_circuits.circuit import Circuit
from harness_circuits.models.load import load_model
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.scores import ScoreSpace


def main() -> None:
    """Print the ratio at several sizes of random edge circuits, the median of three runs."""
    model = load_model()
    ids = torch.randint(1000, 20000, (4, 64), generator=torch.Generator().manual_seed(0))
    space = ScoreSpace(model.graph)
    order = np.random.default_rng(0).random(space.shape)
    for size in (0.01, 0.05, 0.2):
        circuit = Circuit(space, space.real & (order < size))
        stand_in = InstalledCircuit(model, circuit, zeros(model, 1))
        ratios, seconds = [], []
        for turn in range(4):
            start = time.process_time()
            with torch.no_grad():
                model.hf(ids)
            middle = time.process_time()
            with stand_in.installed():
                model.hf(ids)
            end = time.process_time()
            if turn:  # the first turn warms up
                ratios.append((end - middle) / (middle - start))
                seconds.append(middle - start)
        print(
            f"random edge circuit, size {size}: {np.median(ratios):.2f}x the full model "
            f"({np.median(seconds):.2f} s for {ids.numel()} tokens)"
        )


if __name__ == "__main__":
    main()
