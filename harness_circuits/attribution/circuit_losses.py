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
from harness_circuits.pairs.tokenise import Batch
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import Known, differences_of, run_circuits


class CircuitLosses:
    """Minus a metric of circuits, mean over all pairs of the job, on all ranks.

    What a batch needs for every circuit is worked out once where there is one batch, and anew for every
    call where there are several, so that memory does not grow with the pairs.

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
        self._last: tuple[int, _Batch] | None = None

    def __call__(self, circuits: Sequence[Circuit], first: int = 0) -> list[float]:
        """The loss of each circuit.

        Args:
            circuits: Edge circuits that keep some edges of the base, and all into the blocks before
                `first`.
            first: The first block that has to be run; up to the number of blocks.
        """
        total = torch.zeros(len(circuits), dtype=torch.float64)
        for at in self.job.own:
            if self._last is None or self._last[0] != at:
                self._last = None  # let it go before the next one is made
                batch = self.job.prepared(self.job.batches[at])
                self._last = at, _Batch(self.job, batch, self.base)
            total -= self._last[1].metrics(circuits, first, self.metric)
        losses: list[float] = (self.job.ranks.sum_(total) / self.job.n_examples).tolist()
        return losses


class _Batch:
    """What all circuits of a batch start from."""

    @torch.no_grad()
    def __init__(self, job: Job, batch: Batch, base: Circuit) -> None:
        self.model, self.batch = job.model, batch
        replacement = job.ablation.replacement(self.model, batch)
        self.clean = self.model.forward(batch.clean)
        self.stream = AblatedStream(self.model, batch.clean, replacement)
        self.known = differences_of(self.model, base, batch.clean, self.stream)

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
    """What the differences of all sources take, per token, and nothing whatever the batch."""
    numbers = model.graph.n_src * model.graph.d_model
    return numbers * torch.finfo(model.dtype).bits // 8, 0
