"""Losses of edge circuits on a job's pairs, of many circuits that differ in a few edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.job import Job
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.metrics.metrics import Metric
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import Known, differences_of, run_circuits

KEPT_BYTES = 2**28  # of what batches need for every circuit


class CircuitLosses:
    """Minus a metric of circuits, mean over all pairs of the job, on all ranks.

    What a batch needs for every circuit is worked out once, and kept of as many batches as there is room
    for; of the others, anew for every call, so that memory does not grow with the pairs.

    Attributes:
        base: The circuit that the others keep edges of, from `first` on.
    """

    def __init__(self, job: Job, metric: Metric) -> None:
        """Take the pairs.

        Args:
            job: Model, data and ablation.
            metric: What circuits are measured by; higher is better.
        """
        self.job, self.metric = job, metric
        self.start_from(Circuit.full(job.space))

    def start_from(self, base: Circuit) -> None:
        """Take another base."""
        self.base = base
        self._kept: dict[int, _Batch] = {}

    def __call__(self, circuits: Sequence[Circuit], first: int = 0) -> list[float]:
        """The loss of each circuit.

        Args:
            circuits: Edge circuits that keep some edges of the base, and all into the blocks before
                `first`.
            first: The first block that has to be run; up to the number of blocks.
        """
        total = torch.zeros(len(circuits), dtype=torch.float64)
        for at in self.job.own:
            total -= self._batch(at).metrics(circuits, first, self.metric)
        losses: list[float] = (self.job.ranks.sum_(total) / self.job.n_examples).tolist()
        return losses

    def _batch(self, at: int) -> _Batch:
        if at in self._kept:
            return self._kept[at]
        found = _Batch(self.job, self.job.prepared(self.job.batches[at]), self.base)
        if sum(kept.n_bytes for kept in self._kept.values()) + found.n_bytes <= KEPT_BYTES:
            self._kept[at] = found
        return found


class _Batch:
    """What all circuits of a batch start from."""

    @torch.no_grad()
    def __init__(self, job: Job, batch: Batch, base: Circuit) -> None:
        self.model, self.batch = job.model, batch
        replacement = job.ablation.replacement(self.model, batch)
        self.clean = self.model.forward(batch.clean)
        self.stream = AblatedStream(self.model, batch.clean, replacement)
        self.known = differences_of(self.model, base, batch.clean, self.stream)

    @property
    def n_bytes(self) -> int:
        """Memory that the differences of all sources take."""
        numbers, _ = known_bytes(self.model)
        return numbers * self.batch.clean.ids.numel()

    @torch.no_grad()
    def metrics(
        self, circuits: Sequence[Circuit], first: int, metric: Metric
    ) -> Float[Tensor, "circuit"]:
        """The metric of each circuit, summed over the pairs."""
        found = []
        for start in range(0, len(circuits), self.batch.at_once):
            some = circuits[start : start + self.batch.at_once]
            how = self.batch.clean, self.stream, Known(first, self.known)
            for logits in run_circuits(self.model, some, *how):
                found.append(metric(logits, self.batch, self.clean).sum(dtype=torch.float64).cpu())
        return torch.stack(found)


def known_bytes(model: CircuitModel) -> tuple[int, int]:
    """What the differences of all sources take, per token, and those that are kept."""
    numbers = model.graph.n_src * model.graph.d_model
    return numbers * torch.finfo(model.dtype).bits // 8, KEPT_BYTES
