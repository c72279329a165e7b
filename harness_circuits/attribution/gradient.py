"""The plumbing that all gradient methods share: record, differentiate along a path, contract.

A method is a list of path points. At a point alpha the first residual is alpha of the way from the
replaced to the clean one, and the gradients found there enter with a weight:

1. Record the replacement's and the clean run's node outputs.
2. At every point, run with gradients.
3. Contract output differences with the weighted sum of the gradients, once per batch
   (`harness_circuits.passes.gradient_sums`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.job import Job
from harness_circuits.circuits.scores import Scores
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.contract import Delta, delta_between
from harness_circuits.passes.crossing_scores import CrossingSums
from harness_circuits.passes.gradient_sums import Weighted
from harness_circuits.passes.gradients import GradientPass, RunType, run_with_gradients
from harness_circuits.passes.native import (
    OUTPUTS,
    NativeRun,
    Outputs,
    Residual,
    Tapped,
    outputs_of,
    record,
)


@dataclass(frozen=True)
class PathPoint:
    """A point between replaced (0) and clean (1) embeddings, and the weight of its gradients."""

    alpha: float
    weight: float


def path_attribution(
    job: Job, points: Sequence[PathPoint], run_type: RunType = NativeRun
) -> Scores:
    """Score all units by contracting output differences with gradients along a path.

    Args:
        job: Model, data, metric, level and ablation.
        points: Where gradients are taken.
        run_type: How blocks are run, where a method changes the backward pass.
    """
    sums = job.sums()
    clean_first = sorted(points, key=lambda point: -point.alpha)
    for batch in job.watched("discovery", sums):
        _PathBatch(job, batch, clean_first, run_type).add_to(sums.total)
    return job.scores(sums)


@dataclass(frozen=True)
class _Clean:
    """What a batch's clean run is needed for: where the path ends, and what is contracted.

    For crossing edges that is also what every layer's attention reads, in it and with all replaced.
    """

    start: Residual
    change: Residual
    delta: Delta
    block_in: dict[int, Residual]
    replaced: list[Residual]


class _PathBatch:
    """The work for one batch."""

    def __init__(
        self, job: Job, batch: Batch, points: Sequence[PathPoint], run_type: RunType
    ) -> None:
        self.job, self.batch, self.points, self.run_type = job, batch, points, run_type
        self.model: CircuitModel = job.model
        self.sums = job.gradient_sums(batch)
        self.replacement: Outputs | None = job.ablation.replacement(self.model, batch)
        self.clean_logits: Float[Tensor, "batch read vocab"] | None = None
        self.clean: _Clean | None = None
        self.crossing: CrossingSums | None = None
        if job.space.crossing:
            assert job.spans is not None
            self.crossing = CrossingSums(self.model, batch.clean, len(job.spans))

    def add_to(self, total: Float[Tensor, "*units"]) -> None:
        """Add this batch's score sums."""
        if self.points[0].alpha != 1 or self.job.metric.needs_clean:
            seen, self.clean_logits = record(self.model, self.batch.clean)
            self._take_clean(seen)
        if self.crossing is None:
            self.sums.add(self._runs(), self._delta, total)
            return
        n_src = self.model.graph.n_src
        self.sums.add(self.crossing.watched(self._runs()), self._delta, total[:, :n_src])
        assert self.clean is not None
        self.crossing.add_to(total[:, n_src:], self.clean.block_in, self.clean.replaced)

    def _runs(self) -> Iterator[Weighted]:
        """Runs at all points: the clean one first, which is the clean run too, then side by side."""
        points = list(self.points)
        if self.clean is None:
            clean = points.pop(0)
            run = self._run(None, 1, keep=OUTPUTS)
            self._take_clean(run.seen)
            yield Weighted(run, clean.weight)
            del run
        for first in range(0, len(points), self.batch.at_once):
            some = points[first : first + self.batch.at_once]
            start = torch.cat([self._between(point.alpha) for point in some])
            parts = self._run(start, len(some)).row_groups(len(some))
            for point, part in zip(some, parts, strict=True):
                yield Weighted(part, point.weight)
            del parts, part

    def _run(self, start: Residual | None, n: int, keep: tuple[str, ...] = ()) -> GradientPass:
        points, how = self.sums.points, {"keep": keep, "run_type": self.run_type}
        return run_side_by_side(self.job, self.batch, n, points, self.clean_logits, start, **how)

    def _take_clean(self, seen: Tapped) -> None:
        """Keep what the clean run is needed for: differences, and where the path ends."""
        assert self.replacement is not None
        outputs = outputs_of(self.model, self.batch.clean, seen)
        attention: tuple[dict[int, Residual], list[Residual]] = {}, []
        if self.crossing is not None:
            stream = AblatedStream(self.model, self.batch.clean, self.replacement)
            attention = seen["block_in"], stream.block_in
        self.clean = _Clean(
            seen["block_in"][0],
            self.replacement.embedded - outputs.embedded,
            delta_between(outputs, self.replacement, self.model.sum_dtype),
            *attention,
        )
        self.replacement = None  # large, and not needed any more

    def _between(self, alpha: float) -> Residual:
        assert self.clean is not None
        return self.clean.start + (1 - alpha) * self.clean.change

    def _delta(self) -> Delta:
        assert self.clean is not None
        return self.clean.delta


def run_side_by_side(
    job: Job,
    batch: Batch,
    n: int,
    points: tuple[str, ...],
    clean: Float[Tensor, "batch read vocab"] | None,
    start: Residual | None = None,
    **how: Any,
) -> GradientPass:
    """A batch's clean prompts n times side by side, with gradients of the job's metric.

    Args:
        job: The model and the metric.
        batch: The pairs.
        n: How often; `row_groups(n)` of the result are the single runs.
        points: Points to differentiate at.
        clean: The clean run's logits, where the metric compares with them.
        start: The first block's input, of n times the rows; by default the embedded tokens.
        **how: `keep` and `run_type` of `run_with_gradients`.
    """

    def metric(logits: Float[Tensor, "row read vocab"]) -> Float[Tensor, "row"]:
        return torch.cat([job.metric(part, batch, clean) for part in logits.split(len(batch))])

    inputs = batch.clean if n == 1 else batch.clean.repeated(n)
    return run_with_gradients(job.model, inputs, metric, points, start, **how)


def even_points(rule: str, steps: int) -> list[PathPoint]:
    """Integration points of a rule on [0, 1], with weights that add up to 1."""
    if rule == "gausslegendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return [
            PathPoint(float(x + 1) / 2, float(w) / 2) for x, w in zip(nodes, weights, strict=True)
        ]
    shift = {"left": 0.0, "midpoint": 0.5, "right": 1.0}[rule]
    return [PathPoint((step + shift) / steps, 1 / steps) for step in range(steps)]
