"""subnetwork-probing (Cao et al. 2021, arXiv 2104.03514): hard-concrete gates under a penalty.

The loss is that of the masked run plus `penalty` times the mean probability of a gate not to be 0.
Units are ranked by log alpha.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.job import Job
from harness_circuits.attribution.learning.hard_concrete import (
    above_zero,
    hard_concrete,
    log_alpha_of,
)
from harness_circuits.attribution.learning.learner import Learner
from harness_circuits.attribution.learning.loop import learn
from harness_circuits.attribution.learning.options import learned_method, learning_options
from harness_circuits.attribution.methods import METHODS
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Number


def subnetwork_probing(job: Job, *, penalty: float, initial: float, **options: Any) -> Scores:
    """Score by the gates' log alpha.

    Args:
        job: Model, data, metric, level and ablation.
        penalty: Weight of the mean probability of gates not to be 0.
        initial: That probability at the start.
        **options: Those of the learning loop.
    """
    learner = _Gates(job.space.n_units, penalty, initial, options["learning_rate"])
    chosen = {"penalty": penalty, "initial": initial, **options}
    return learn(job, "subnetwork-probing", learner, chosen)


class _Gates(Learner):
    """A hard-concrete gate per unit."""

    def __init__(self, n_units: int, penalty: float, initial: float, rate: float) -> None:
        start = torch.full((n_units,), log_alpha_of(initial), dtype=torch.float64)
        self.log_alpha = start.requires_grad_()
        self.weight = penalty
        self.optimiser = torch.optim.Adam([self.log_alpha], lr=rate)

    def draw(self, step: int, random: np.random.Generator) -> Float[Tensor, "unit"]:
        """Gates, open or closed or between."""
        return hard_concrete(self.log_alpha, random)

    def penalty(self, step: int, mask: Float[Tensor, "unit"]) -> Tensor:
        """What open gates cost."""
        return self.weight * above_zero(self.log_alpha).mean()

    def ranking(self) -> Float[Tensor, "unit"]:
        """Log alpha."""
        return self.log_alpha


METHODS.register("subnetwork-probing", also=("SP",))(
    learned_method(
        subnetwork_probing,
        {
            **learning_options(steps=1000, learning_rate=0.1, pairs_per_step=8, objective="kl"),
            "penalty": Option(Number(0, 1e9), 10.0, "weight of the mean gate in the loss"),
            "initial": Option(
                Number(0.001, 0.999), 0.9, "probability of gates not to be 0 at the start"
            ),
        },
        "Cao et al. 2021, arXiv 2104.03514",
    )
)
