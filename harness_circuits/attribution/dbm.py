"""DBM, differential binary masking (De Cao et al. 2020, arXiv 2004.14992), as in pyvene's sigmoid masks.

z = sigmoid(s / T) without noise, T falling from 50 to 0.1 over the steps; the loss is that of the masked
run plus `penalty` times the mean of z. Units are ranked by s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.job import Job
from harness_circuits.attribution.learning.learner import Learner
from harness_circuits.attribution.learning.loop import learn
from harness_circuits.attribution.learning.options import learned_method, learning_options
from harness_circuits.attribution.methods import METHODS
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Number

HOT, COLD = 50.0, 0.1


def dbm(job: Job, *, penalty: float, **options: Any) -> Scores:
    """Score by the masks' logits.

    Args:
        job: Model, data, metric, level and ablation.
        penalty: Weight of the mean mask.
        **options: Those of the learning loop.
    """
    learner = _Sigmoids(job.space.n_units, penalty, options["steps"], options["learning_rate"])
    return learn(job, "DBM", learner, {"penalty": penalty, **options})


class _Sigmoids(Learner):
    """A sigmoid per unit."""

    def __init__(self, n_units: int, penalty: float, steps: int, rate: float) -> None:
        self.logits = torch.zeros(n_units, dtype=torch.float64, requires_grad=True)
        self.weight, self.steps = penalty, steps
        self.optimiser = torch.optim.Adam([self.logits], lr=rate)

    def temperature(self, step: int) -> float:
        """T of a step."""
        return HOT + (COLD - HOT) * step / max(1, self.steps - 1)

    def draw(self, step: int, random: np.random.Generator) -> Float[Tensor, "unit"]:
        """The masks at the temperature of the step."""
        return (self.logits / self.temperature(step)).sigmoid()

    def penalty(self, step: int, mask: Float[Tensor, "unit"]) -> Tensor:
        """What open masks cost."""
        return self.weight * mask.mean()

    def ranking(self) -> Float[Tensor, "unit"]:
        """The logits."""
        return self.logits


METHODS.register("DBM", also=("differential-binary-masking",))(
    learned_method(
        dbm,
        {
            **learning_options(steps=500, learning_rate=0.3, pairs_per_step=8, objective="metric"),
            "penalty": Option(Number(0, 1e9), 6.0, "weight of the mean mask in the loss"),
        },
        "De Cao et al. 2020, arXiv 2004.14992",
    )
)
