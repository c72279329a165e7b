"""edge-pruning (Bhaskar et al. 2024, arXiv 2406.16778): hard-concrete gates under a Lagrangian.

Gates start open. With r = 1 - mean z and a target t that rises to `sparsity` over the first part of the
steps, what is added to the loss is

    lambda_1 (r - t) + lambda_2 (r - t)^2,

the lambdas being changed by gradient ascent, so that r follows t. Units are ranked by log alpha.
One run aims at one size: the order is best near it, and areas over all sizes understate the method.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.job import Job
from harness_circuits.attribution.learning.hard_concrete import hard_concrete
from harness_circuits.attribution.learning.learner import Learner
from harness_circuits.attribution.learning.loop import learn
from harness_circuits.attribution.learning.options import learned_method, learning_options
from harness_circuits.attribution.methods import METHODS
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Number

START_SPREAD = 0.01  # standard deviation of the first log alpha
WARM_UP = 0.07  # share of steps in which the learning rate rises
RISING = 0.83  # share of steps in which the target does


def edge_pruning(job: Job, *, sparsity: float, log_alpha: float, **options: Any) -> Scores:
    """Score by the gates' log alpha.

    Args:
        job: Model, data, metric, level and ablation.
        sparsity: Share of units that is to be removed in the end.
        log_alpha: Mean log alpha at the start. At the published 10 a gate is all but always open, and
            most take hundreds of steps to be drawn shut for the first time.
        **options: Those of the learning loop.
    """
    learner = _Gates(job.space.n_units, sparsity, log_alpha, options)
    chosen = {"sparsity": sparsity, "log_alpha": log_alpha, **options}
    return learn(job, "edge-pruning", learner, chosen)


class _Gates(Learner):
    """A hard-concrete gate per unit, and two multipliers."""

    def __init__(
        self, n_units: int, sparsity: float, start: float, options: dict[str, Any]
    ) -> None:
        random = np.random.default_rng([options["seed"], 2])
        first = torch.from_numpy(random.normal(start, START_SPREAD, n_units))
        self.log_alpha = first.requires_grad_()
        self.multipliers = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        self.sparsity, self.steps = sparsity, options["steps"]
        self.rate = options["learning_rate"]
        groups: list[dict[str, Any]] = [
            {"params": [self.log_alpha]},
            {"params": [self.multipliers], "maximize": True},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=self.rate, weight_decay=0)

    def draw(self, step: int, random: np.random.Generator) -> Float[Tensor, "unit"]:
        """Gates, open or closed or between."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * self.schedule(step)
        return hard_concrete(self.log_alpha, random)

    def schedule(self, step: int) -> float:
        """Share of the learning rate: up in a warm-up, then down to 0."""
        warm = max(1, round(WARM_UP * self.steps))
        if step < warm:
            return (step + 1) / warm
        return (self.steps - step) / max(1, self.steps - warm)

    def target(self, step: int) -> float:
        """The share of units that is to be removed by now."""
        return self.sparsity * min(1.0, (step + 1) / max(1.0, RISING * self.steps))

    def penalty(self, step: int, mask: Float[Tensor, "unit"]) -> Tensor:
        """What missing the target costs."""
        missed = 1 - mask.mean() - self.target(step)
        return self.multipliers @ torch.stack([missed, missed.square()])

    def ranking(self) -> Float[Tensor, "unit"]:
        """Log alpha."""
        return self.log_alpha


METHODS.register("edge-pruning", also=("Edge-Pruning", "EP"))(
    learned_method(
        edge_pruning,
        {
            **learning_options(steps=3000, learning_rate=0.8, pairs_per_step=8, objective="kl"),
            "sparsity": Option(Number(0, 1), 0.95, "share of units removed in the end"),
            "log_alpha": Option(Number(-20, 20), 10.0, "of gates at the start: 10 is open"),
        },
        "Bhaskar et al. 2024, arXiv 2406.16778",
    )
)
