"""UGS, uniform gradient sampling (Li and Janson 2024, arXiv 2409.09951).

Every unit has a probability theta = sigmoid(w). With probability omega = theta (1 - theta) its z is
uniform on (0, 1), else it is 1 with probability theta:

    z = 1 - clamp((u - theta) / omega + 1/2, 0, 1),        u uniform, d z / d theta = 1 where not clamped

The loss is that of the masked run plus `penalty` times the sum of theta. Units are ranked by theta. (The
authors add a small term for nodes that keep edges on one side alone, which is left out here.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness_circuits.attribution.job import Job
from harness_circuits.attribution.learning.learner import Learner
from harness_circuits.attribution.learning.loop import learn
from harness_circuits.attribution.learning.options import learned_method, learning_options
from harness_circuits.attribution.methods import METHODS
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Number, Whole

BETAS = (0.9, 0.995)
CLIP = 5.0
START = 1.0  # of w


def ugs(job: Job, *, penalty: float, mask_samples: int, **options: Any) -> Scores:
    """Score by the units' probabilities.

    Args:
        job: Model, data, metric, level and ablation.
        penalty: Weight of the sum of all probabilities.
        mask_samples: Masks per step.
        **options: Those of the learning loop.
    """
    learner = _Probabilities(job.space.n_units, penalty, mask_samples, options["learning_rate"])
    chosen = {"penalty": penalty, "mask_samples": mask_samples, **options}
    return learn(job, "UGS", learner, chosen)


class _Probabilities(Learner):
    """A probability per unit."""

    clip = CLIP

    def __init__(self, n_units: int, penalty: float, samples: int, rate: float) -> None:
        self.w = torch.full((n_units,), START, dtype=torch.float64, requires_grad=True)
        self.weight, self.draws = penalty, samples
        self.optimiser = torch.optim.AdamW([self.w], lr=rate, betas=BETAS, weight_decay=0)

    def draw(self, step: int, random: np.random.Generator) -> Float[Tensor, "unit"]:
        """A mask of zeros and ones, and few numbers between."""
        return uniform_gate(self.w.sigmoid(), torch.from_numpy(random.random(len(self.w))))

    def penalty(self, step: int, mask: Float[Tensor, "unit"]) -> Tensor:
        """What likely units cost."""
        return self.weight * self.w.sigmoid().sum()

    def ranking(self) -> Float[Tensor, "unit"]:
        """The logits of the probabilities, which order the units as these do."""
        return self.w


def uniform_gate(theta: Float[Tensor, "unit"], u: Float[Tensor, "unit"]) -> Float[Tensor, "unit"]:
    """Z for uniform numbers u; its gradient in theta is 1 where z is neither 0 nor 1."""
    return _UniformGate.apply(theta, u)  # type: ignore[no-untyped-call]


class _UniformGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, theta: Tensor, u: Tensor) -> Tensor:
        omega = (theta * (1 - theta)).clamp(min=torch.finfo(theta.dtype).tiny)
        z = 1 - ((u - theta) / omega + 0.5).clamp(0, 1)
        ctx.save_for_backward(z)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return gradient * ((z > 0) & (z < 1)), None


METHODS.register("UGS", also=("uniform-gradient-sampling",))(
    learned_method(
        ugs,
        {
            **learning_options(steps=3000, learning_rate=0.01, pairs_per_step=5, objective="kl"),
            "penalty": Option(Number(0, 1e9), 1e-3, "weight of the sum of probabilities"),
            "mask_samples": Option(Whole(1, 1000), 12, "masks per step"),
        },
        "Li and Janson 2024, arXiv 2409.09951",
        draws=lambda options: options["mask_samples"],
    )
)
