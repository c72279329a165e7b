"""EAP-IG-circuits: integrated gradients along the path that evaluation walks.

All units are kept by a share t, from the empty circuit (t = 0) to the model (t = 1), and every
point's gradients are contracted with the differences of that same run:

    S(u -> v) = integral over t of  < a_u(t) - a'_u,  d metric / d input of v (t) >

with a_u(t) what u puts out in that run, and a'_u what replaces it. This is the Aumann-Shapley value
(Aumann and Shapley 1974) of the game whose players are the units and whose value is a circuit's
metric. It is complete: the scores of all units add up to the metric of the model less that of the
empty circuit, as the number of points grows; both are kept with the scores, and it is said where they
differ much. At every level and under every ablation, zero included; but there a model with RMS norms
and no learned positions is the same at every share that norms' epsilons do not see, so that points
explain little of the gap.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.eap_ig_inputs import IG_STEPS, ig_rule_option
from harness_circuits.attribution.gradient import PathPoint, even_points, run_side_by_side
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.contract import Delta, delta_between
from harness_circuits.passes.gradient_sums import Weighted
from harness_circuits.passes.gradients import GradientPass
from harness_circuits.passes.mask_path import MaskPathRun, own_outputs, own_points

logger = logging.getLogger("lm_eval.circuit")

MUCH = 0.1  # of the gap: what the scores may miss before it is said


def eap_ig_circuits(job: Job, *, ig_steps: int, ig_rule: str) -> Scores:
    """Score by gradients along the line from the empty circuit to the model.

    Args:
        job: Model, data, metric, level and ablation.
        ig_steps: Number of points.
        ig_rule: Where they lie, one of `harness_circuits.attribution.eap_ig_inputs.RULES`.
    """
    sums, gap = job.sums(), torch.zeros(1, dtype=torch.float64)
    points = even_points(ig_rule, ig_steps)
    for batch in job.watched("discovery", sums):
        path = _MaskPathBatch(job, batch)
        gap += path.gap()
        path.add_to(sums.total, points)
    scores = job.scores(sums)
    total, wanted = float(scores.values.sum()), float(job.ranks.sum_(gap)) / job.n_examples
    if abs(total - wanted) > MUCH * abs(wanted):
        logger.warning(
            "EAP-IG-circuits: the scores add up to %.4g, the model's metric less that of the empty "
            "circuit is %.4g. More points (ig_steps, now %d) bring them nearer%s.",
            total,
            wanted,
            ig_steps,
            ", but few do under ablation=zero" if job.ablation.name == "zero" else "",
        )
    return scores.describe(score_sum=total, metric_gap=wanted)


class _MaskPathBatch:
    """The work for one batch."""

    def __init__(self, job: Job, batch: Batch) -> None:
        self.job, self.batch, self.model = job, batch, job.model
        self.sums = job.gradient_sums(batch)
        self.replacement = job.ablation.replacement(self.model, batch)
        with torch.no_grad():
            self.clean_logits = self.model.forward(batch.clean)

    @torch.no_grad()
    def gap(self) -> float:
        """The metric of the model less that of the empty circuit, summed over the pairs."""
        run = MaskPathRun(self.model, (), **self._how([PathPoint(0.0, 0.0)]))
        ends = self.clean_logits, self.model.forward(self.batch.clean, run)
        full, empty = (self.job.metric(x, self.batch, self.clean_logits) for x in ends)
        return float((full - empty).sum(dtype=torch.float64))

    def add_to(self, total: Float[Tensor, "*units"], points: Sequence[PathPoint]) -> None:
        """Add this batch's score sums: run by run, as each has output differences of its own."""
        for first in range(0, len(points), self.batch.at_once):
            some = points[first : first + self.batch.at_once]
            runs = self._run(some).row_groups(len(some))
            for point, run in zip(some, runs, strict=True):
                delta = partial(self._delta, run)
                self.sums.add(iter([Weighted(run, point.weight)]), delta, total)

    def _run(self, points: Sequence[PathPoint]) -> GradientPass:
        """The batch at some points, side by side."""
        how = self.job, self.batch, len(points), self.sums.points, self.clean_logits
        run_type = partial(MaskPathRun, **self._how(points))
        return run_side_by_side(*how, keep=own_points(self.model), run_type=run_type)

    def _how(self, points: Sequence[PathPoint]) -> dict[str, Any]:
        """What a run at some points mixes."""
        shares = torch.tensor([point.alpha for point in points], dtype=torch.float64)
        return {"inputs": self.batch.clean, "replacement": self.replacement, "shares": shares}

    def _delta(self, run: GradientPass) -> Delta:
        """Replacement minus what the sources put out in a run."""
        own = own_outputs(self.model, self.batch.clean, run.seen)
        return delta_between(own, self.replacement, self.model.sum_dtype)


METHODS.register("EAP-IG-circuits", also=("mask-path-IG", "Aumann-Shapley"))(
    Method(
        function=eap_ig_circuits,
        options={"ig_steps": IG_STEPS, "ig_rule": ig_rule_option("gausslegendre")},
        positions=True,
        passes=lambda space, options: 3 + 3 * options["ig_steps"],
        source="Aumann and Shapley 1974; Sundararajan et al. 2017, arXiv 1703.01365",
    )
)
