"""UGS, uniform gradient sampling (Li and Janson 2024, arXiv 2409.09951).

Every unit has a probability theta = sigmoid(w). With probability omega = theta (1 - theta) its z is
uniform on (0, 1), else it is 1 with probability theta:

    z = 1 - clamp((u - theta) / omega + 1/2, 0, 1),        u uniform

theta's gradient is the mean of z's over those of a step's masks in which z is neither 0 nor 1, and 0
where there is none. The loss is that of the masked run, plus `penalty` times the sum of theta, plus, of
edges, the node term (`head_term`). Units are ranked by theta.

The formulas are those of the authors' code (maxtli/optimalablation, with MIB's copy of it,
alestolfo/optimalablation). It draws masks for each pair of a step; here the pairs of a step share them.
"""

from __future__ import annotations

from dataclasses import replace
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
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.options import Option
from harness_circuits.options.kinds import Number, Whole

BETAS = (0.9, 0.995)
CLIP = 5.0
START = 1.0  # of w
NODE_SHARE, NODE_MOST = 0.5, 2e-4  # the published weight of the node term: of the penalty, at most


def ugs(
    job: Job, *, penalty: float, node_penalty: float | None, mask_samples: int, **options: Any
) -> Scores:
    """Score by the units' probabilities.

    Args:
        job: Model, data, metric, level and ablation.
        penalty: Weight of the sum of all probabilities.
        node_penalty: Weight of the node term; None for the published one, which edges alone have.
        mask_samples: Masks per step.
        **options: Those of the learning loop.
    """
    if node_penalty is None:
        node_penalty = min(NODE_SHARE * penalty, NODE_MOST) if job.level == "edge" else 0.0
    weights = penalty, node_penalty
    learner = _Probabilities(job.space, weights, mask_samples, options["learning_rate"])
    chosen = {"penalty": penalty, "node_penalty": node_penalty, "mask_samples": mask_samples}
    return learn(job, "UGS", learner, {**chosen, **options})


class _Probabilities(Learner):
    """A probability per unit."""

    clip = CLIP

    def __init__(
        self, space: ScoreSpace, weights: tuple[float, float], samples: int, rate: float
    ) -> None:
        self.w = torch.full((space.n_units,), START, dtype=torch.float64, requires_grad=True)
        self.space, self.draws = space, samples
        self.weight, self.node_weight = weights
        self.optimiser = torch.optim.AdamW([self.w], lr=rate, betas=BETAS, weight_decay=0)
        self._waiting: tuple[int, list[Tensor]] = (-1, [])

    def draw(self, step: int, random: np.random.Generator) -> Float[Tensor, "unit"]:
        """A mask of zeros and ones, and few numbers between; all of a step's are drawn at its first."""
        if self._waiting[0] != step or not self._waiting[1]:
            u = torch.from_numpy(random.random((self.draws, len(self.w))))
            self._waiting = step, list(uniform_gates(self.w.sigmoid(), u).unbind())
        return self._waiting[1].pop(0)

    def penalty(self, step: int, mask: Float[Tensor, "unit"]) -> Tensor:
        """What likely units cost, and heads that few likely edges touch."""
        theta = self.w.sigmoid()
        cost = self.weight * theta.sum()
        if not self.node_weight:
            return cost
        return cost + self.node_weight * head_term(self.space, theta)

    def ranking(self) -> Float[Tensor, "unit"]:
        """The logits of the probabilities, which order the units as these do."""
        return self.w


def head_term(space: ScoreSpace, theta: Float[Tensor, "unit"]) -> Float[Tensor, ""]:
    """The node term: what it costs that a head is in the circuit at all, whatever edges it has.

        sum over heads of c tanh(s / c),        c = layers x heads / 2

    s being the sum of theta over the edges that leave a head and those into its query, key and value. An
    edge of a head that keeps few others costs up to 1 more at each end, one of a head that keeps many
    next to nothing: few heads with many edges are cheaper than many heads with few. Other nodes have no
    such term. Keys and values that several heads share count for each of these (the authors' code takes
    such models apart, so that there are none).

    Args:
        space: Edges.
        theta: Probabilities of all edges that exist, in their order.
    """
    graph = space.graph
    every = theta.new_zeros(space.shape)
    every[torch.from_numpy(space.real)] = theta
    leaving = every.sum(1)[1:].view(graph.n_layers, -1)[:, : graph.n_heads]
    shared = graph.n_heads // graph.n_kv_heads
    parts = every.sum(0)[:-1].view(graph.n_layers, -1).split(_destinations(graph), dim=1)
    entering = parts[0] + sum(part.repeat_interleave(shared, 1) for part in parts[1:3])
    scale = graph.n_layers * graph.n_heads / 2
    return scale * ((leaving + entering) / scale).tanh().sum()


def _destinations(graph: Graph) -> list[int]:
    """How many queries, keys, values and MLPs a layer has."""
    return [graph.n_heads, graph.n_kv_heads, graph.n_kv_heads, 1]


def uniform_gates(
    theta: Float[Tensor, "unit"], u: Float[Tensor, "mask unit"]
) -> Float[Tensor, "mask unit"]:
    """Z of several masks for uniform numbers u.

    The gradient of theta is n times the mean over those of the n masks in which z is neither 0 nor 1:
    what a mean of losses over all masks has to be multiplied by.
    """
    return _UniformGates.apply(theta, u)  # type: ignore[no-untyped-call]


class _UniformGates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, theta: Tensor, u: Tensor) -> Tensor:
        omega = (theta * (1 - theta)).clamp(min=torch.finfo(theta.dtype).tiny)
        z = 1 - ((u - theta) / omega + 0.5).clamp(0, 1)
        ctx.save_for_backward((z > 0) & (z < 1))
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (between,) = ctx.saved_tensors
        counts = between.sum(0).clamp(min=1)
        return (gradient * between).sum(0) * len(between) / counts, None


METHODS.register("UGS", also=("uniform-gradient-sampling",))(
    replace(
        learned_method(
            ugs,
            {
                **learning_options(
                    steps=3000, learning_rate=0.01, pairs_per_step=5, objective="kl"
                ),
                "penalty": Option(Number(0, 1e9), 1e-3, "weight of the sum of probabilities"),
                "node_penalty": Option(
                    Number(0, 1e9),
                    None,
                    "weight of the node term, of edges; None: half of penalty, at most 0.0002",
                    none=True,
                ),
                "mask_samples": Option(Whole(1, 1000), 12, "masks per step"),
            },
            "Li and Janson 2024, arXiv 2409.09951",
            draws=lambda options: options["mask_samples"],
        ),
        option_levels={"node_penalty": ("edge",)},
    )
)
