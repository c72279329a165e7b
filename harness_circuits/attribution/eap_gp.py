"""EAP-GP, EAP along a gradient path (arXiv 2502.06852).

EAP-IG-inputs walks a straight line between the embeddings, part of which may lie where the model is
saturated and gradients say little. Here the path goes from the clean embeddings downhill:

    e(0) = e(x),    e(j + 1) = e(j) - s * g / |g|,    g = d |G(e(j)) - G(x')|^2 / d e(j)

with G the logits at the positions that the metric reads, x' the corrupted prompt and |.| over positions
and width, prompt by prompt. The gradients at e(1), ..., e(k) are averaged, and contracted with
replacement minus clean output as in EAP. The step s is 1 in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.eap_ig_inputs import IG_STEPS
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Number
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.contract import Delta, delta_between
from harness_circuits.passes.gradient_sums import GradientSums, Weighted
from harness_circuits.passes.gradients import run_with_gradients
from harness_circuits.passes.memory import NOTHING_MORE, Needs
from harness_circuits.passes.native import Residual, outputs_of, record


def eap_gp(job: Job, *, gp_steps: int, step_size: float) -> Scores:
    """Score by the mean gradient along a path that goes towards the corrupted prompt's logits.

    Args:
        job: Model, data, metric, level and ablation (patching).
        gp_steps: Number of points.
        step_size: Length of each step, in the units of the embeddings.
    """
    sums = job.sums()
    for batch in job.watched("discovery", sums):
        _GradientPath(job, batch, step_size).add_to(sums.total, gp_steps)
    return job.scores(sums)


class _GradientPath:
    """The work for one batch."""

    def __init__(self, job: Job, batch: Batch, step_size: float) -> None:
        self.job, self.batch, self.model, self.step_size = job, batch, job.model, step_size
        self.sums = GradientSums(job.model, job.level, job.raw_heads)
        seen, self.goal = record(self.model, batch.corrupted)
        replacement = outputs_of(self.model, batch.corrupted, seen)
        seen, self.clean_logits = record(self.model, batch.clean)
        clean = outputs_of(self.model, batch.clean, seen)
        self.start: Residual = seen["block_in"][0]
        self.delta: Delta = delta_between(clean, replacement, self.model.sum_dtype)

    def add_to(self, total: Float[Tensor, "*units"], steps: int) -> None:
        """Add this batch's score sums."""
        self.sums.add(self._runs(steps), lambda: self.delta, total)

    def _runs(self, steps: int) -> Iterator[Weighted]:
        """Runs with gradients at the points of the path."""

        def metric(logits: Float[Tensor, "batch read vocab"]) -> Float[Tensor, "batch"]:
            return self.job.metric(logits, self.batch, self.clean_logits)

        point = self.start
        for _ in range(steps):
            point = self.next(point)
            how = self.model, self.batch.clean, metric, self.sums.points, point
            # Not named, as a run that this function held would be kept through the next one.
            yield Weighted(run_with_gradients(*how), 1 / steps)

    def next(self, point: Residual) -> Residual:
        """One step downhill; a prompt whose logits are the goal's stays where it is."""

        def distance(logits: Float[Tensor, "batch read vocab"]) -> Float[Tensor, "batch"]:
            return (logits - self.goal).to(self.model.sum_dtype).square().sum((1, 2))

        how = self.model, self.batch.clean, distance, (), point
        gradient = run_with_gradients(*how).start_gradient
        length = torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True)
        return point - self.step_size * gradient / length.where(length > 0, 1)


METHODS.register("EAP-GP", also=("gradient-path",))(
    Method(
        function=eap_gp,
        options={
            "gp_steps": IG_STEPS,
            "step_size": Option(Number(0, 1e6), 1.0, "length of a step, in embeddings' units"),
        },
        only=("patching",),
        whole_prompts=True,
        passes=lambda space, options: 2 + 6 * options["gp_steps"],
        needs=lambda level, options: (
            Needs(runs=options["gp_steps"]) if level == "edge" else NOTHING_MORE
        ),
        source="arXiv 2502.06852",
    )
)
