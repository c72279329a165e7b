"""Run in a process of its own: no pass waits for the device, and indices are put there once.

Fake tensors have no values: anything that reads one fails. A circuit that has been run before must
run again without copying a single index to the device between blocks.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from helpers.defined import few_steps
from helpers.spread_run import (
    GPU,
    BlindJob,
    half_circuit,
    move,
    no_devices,
)
from helpers.tiny_models import random_hf, token_pairs
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import METHODS
from harness_circuits.circuits.scores import LEVELS
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import make_batches
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuits
from harness_circuits.passes.shared_prefix import behind_shared_prefix

METHODS_RUN = ("EAP", "EAP-IG-inputs", "EAP-IG-activations", "RelP")


class Arrivals(TorchDispatchMode):
    """Counts operations on the device that take anything but a number from the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        results = [x for x in tree_leaves(out) if isinstance(x, torch.Tensor)]
        if any(x.device.type == "gpu" for x in results):
            self.n += any(x.device.type == "cpu" and x.ndim > 0 for x in given)
        return out


def main(*architectures: str) -> None:
    """Run discovery and circuits on models that are on a device that does not exist."""
    _setup_privateuseone_for_python_backend("gpu")
    pairs = token_pairs(4, 6)
    for at, pair in enumerate(pairs):  # the first three tokens are shared
        corrupted = (*pair.clean[:3], *((token + 1 + at) % 61 for token in pair.clean[3:]))
        object.__setattr__(pair, "corrupted", corrupted)
    (batch,) = make_batches(pairs, 4, room=16)
    assert batch.shared == 3
    for architecture in architectures:
        with no_devices(), torch.autograd.set_multithreading_enabled(False):
            hf = random_hf(architecture)
            move(hf, torch.device(GPU))
            model = CircuitModel(hf, name=architecture)
            for name in METHODS_RUN:
                method = METHODS.get(name)
                for level in method.levels:
                    job = BlindJob(model, [batch], METRICS.get("logit_diff"), level)
                    method.function(job, **method.defaults | few_steps(name))
                    report(architecture, name, level)
            rest = behind_shared_prefix(model, batch)
            assert rest.at_once > 1
            for level in LEVELS:
                model = model.at(level)
                circuits = [half_circuit(model, level)] * 2
                stream = AblatedStream(model, rest.clean, Patching().replacement(model, rest))
                counts = []
                for _ in range(2):
                    with Arrivals() as arrivals:
                        run_circuits(model, circuits, rest.clean, stream)
                    counts.append(arrivals.n)
                with Arrivals() as plain:
                    model.forward(rest.clean)
                report(architecture, "circuits", level, *counts, plain.n)


def report(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
