"""Runs of circuits on one batch, as many side by side as there is room for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jaxtyping import Float
from torch import Tensor

from harness_circuits.ablation import Ablation
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuits


def circuit_logits(
    model: CircuitModel,
    circuits: Sequence[Circuit],
    batch: Batch,
    ablations: Sequence[Ablation],
    whole: Tensor,
) -> Iterator[Float[Tensor, "batch read vocab"]]:
    """Logits of one circuit after the other, as many side by side as there is room for.

    Args:
        model: The model.
        circuits: What is run.
        batch: The pairs; their clean prompts are run.
        ablations: One for all circuits, or one for each, which then runs by itself.
        whole: The full model's logits, which are those of a circuit that keeps everything.
    """
    shared = len(ablations) == 1
    at_once = batch.at_once if shared else 1
    stream = None
    for first in range(0, len(circuits), at_once):
        some = circuits[first : first + at_once]
        is_full = [circuit.n_kept == circuit.space.n_units for circuit in some]
        run = [circuit for circuit, full in zip(some, is_full, strict=True) if not full]
        if stream is None or not shared:
            replacement = ablations[0 if shared else first].replacement(model, batch)
            stream = AblatedStream(model, batch.clean, replacement)
        found = iter(run_circuits(model, run, batch.clean, stream) if run else ())
        yield from (whole if full else next(found) for full in is_full)
