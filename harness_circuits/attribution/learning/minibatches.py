"""The training pairs of each step, with what replaces units on them.

An epoch goes through all pairs in a random order. A step's pairs come from one batch, so that they have
as many tokens to run: a batch whose pairs do not divide evenly gives a smaller last step. Which pairs
a step has follows from the seed and the step's number alone: a run that was stopped goes on as it would.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness_circuits.ablation.means import mapped
from harness_circuits.attribution.job import Job
from harness_circuits.metrics.metrics import Logits
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.native import Outputs

# Of replaced outputs, shared prefixes and what is read off the full model, kept between steps.
KEPT_BYTES = 2**28
OfClean = Callable[[Logits, Batch], Tensor]


@dataclass(frozen=True)
class Prepared:
    """Pairs that masks can be run on.

    Attributes:
        batch: The pairs.
        replacement: What replaces every source's output.
        clean: What the loss takes of the full model's logits, pair by pair; None where it is nothing.
    """

    batch: Batch
    replacement: Outputs
    clean: Tensor | None

    def rows(self, rows: Tensor) -> Prepared:
        """Some of the pairs."""

        def some(x: Tensor) -> Tensor:
            return x[rows] if x.shape[0] > 1 else x

        if len(rows) == len(self.batch):
            return self
        clean = None if self.clean is None else self.clean[rows]
        return Prepared(self.batch.rows(rows), mapped(self.replacement, some), clean)

    @property
    def n_bytes(self) -> int:
        """Memory that this takes."""
        own = self.replacement
        tensors = [own.embedded, *own.mixed, *own.mlp, *(own.hidden or ())]
        prefix = self.batch.clean.prefix
        if prefix is not None:
            tensors += [x for layer in prefix.keys_and_values() for x in layer]
        if self.clean is not None:
            tensors.append(self.clean)
        return sum(x.numel() * x.element_size() for x in tensors)


class Minibatches:
    """The training pairs, step by step.

    Attributes:
        per_epoch: Steps that go through all pairs once.
    """

    def __init__(self, job: Job, pairs_per_step: int, seed: int, of_clean: OfClean | None) -> None:
        """Divide the pairs.

        Args:
            job: Model, pairs and ablation.
            pairs_per_step: The most that a step has.
            seed: Of their order.
            of_clean: What the loss takes of the full model's logits, which is kept in their place.
        """
        self.job, self.seed, self._of_clean = job, seed, of_clean
        self._each = pairs_per_step
        self.per_epoch = sum(-(-len(batch) // pairs_per_step) for batch in job.batches)
        self._epoch = -1
        self._plan: list[tuple[int, Tensor]] = []
        self._kept: dict[int, Prepared] = {}
        self._n_bytes = 0

    def at(self, step: int) -> Prepared | None:
        """This process's pairs of a step; None where it has none."""
        number, rows = self._planned(step)
        own = rows[self.job.ranks.rank :: self.job.ranks.size]
        return None if not len(own) else self._prepared(number, own)

    def stream(self, part: Prepared) -> AblatedStream:
        """The fully ablated run of a step's pairs."""
        return AblatedStream(self.job.model, part.batch.clean, part.replacement)

    def ahead(self, step: int, end: int) -> tuple[float, float]:
        """What the steps from one on take, counted in it, by tokens: all runs, and all preparing.

        Args:
            step: A step whose pairs have been given.
            end: The step before which it ends.
        """
        tokens = [batch.clean.ids.numel() for batch in self.job.batches]
        epoch = [self._planned(at) for at in range(step, min(end, step + self.per_epoch))]
        of_steps = [tokens[n] * len(rows) / len(self.job.batches[n]) for n, rows in epoch]
        runs = sum(of_steps) / of_steps[0] * (end - step) / len(epoch)
        first = epoch[0][0]
        if first not in self._kept:
            return runs, runs
        return runs, sum(tokens[n] for n in {n for n, _ in epoch}) / tokens[first]

    def _planned(self, step: int) -> tuple[int, Tensor]:
        epoch, at = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            random = np.random.default_rng([self.seed, 0, epoch])
            parts = []
            for number, batch in enumerate(self.job.batches):
                rows = torch.from_numpy(random.permutation(len(batch)))
                parts += [(number, some.sort().values) for some in rows.split(self._each)]
            self._plan = [parts[part] for part in random.permutation(len(parts))]
            self._epoch = epoch
        return self._plan[at]

    def _prepared(self, number: int, rows: Tensor) -> Prepared:
        """From what is kept of the batch; else it is made, of the whole batch where that can be kept."""
        if number in self._kept:
            return self._kept[number].rows(rows)
        batch = self.job.batches[number]
        if self._n_bytes >= KEPT_BYTES:
            return self._make(batch.rows(rows))
        whole = self._make(batch)
        if self._n_bytes + whole.n_bytes <= KEPT_BYTES:
            self._kept[number] = whole
            self._n_bytes += whole.n_bytes
        else:
            self._n_bytes = KEPT_BYTES  # full: no further batch is made whole for nothing
        return whole.rows(rows)

    @torch.no_grad()
    def _make(self, batch: Batch) -> Prepared:
        model = self.job.model
        batch = self.job.prepared(batch)
        replacement = self.job.ablation.replacement(model, batch)
        clean = None
        if self._of_clean is not None:
            clean = self._of_clean(model.forward(batch.clean), batch)
        return Prepared(batch, replacement, clean)
