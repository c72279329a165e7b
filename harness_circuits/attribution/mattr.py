"""MAttr, Matryoshka attribution (arXiv 2609.25518): one learned order of units that serves every size.

Every step draws a size k. A soft top-k keeps about the k units of highest score,

    z_i = sigmoid((s_i - tau) / T),        tau such that the z add up to k,

the masked run gives a loss, and the scores follow its gradient. As every size has its turn, the order
that is learned is good at all of them. Published with `objective=metric`, which learns circuits that
overdo the task (faithfulness of 4 to 10: CPR rewards that); `objective=match` learns circuits that do
it as the model does, which is what CMD asks for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness_circuits.attribution.job import Job, attribute
from harness_circuits.attribution.learning.learner import Learner
from harness_circuits.attribution.learning.loop import learn
from harness_circuits.attribution.learning.options import learned_method, learning_options
from harness_circuits.attribution.methods import METHODS
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import OptionError
from harness_circuits.options import Option
from harness_circuits.options.kinds import Choice, Name, Number

LEAST_SPREAD = 1e-8  # of sigmoids: below it the gradient is that of no threshold
HALVINGS = 100
NONE = "none"
SAMPLINGS = ("uniform", "log", "mixed")
SHARPNESS = 2.0  # twice the rank is this times ln 2 lower


def mattr(
    job: Job, *, start: str, k_sampling: str, k_least: float, temperature: float, **options: Any
) -> Scores:
    """Score by the learned order.

    Args:
        job: Model, data, metric, level and ablation.
        start: A method whose order is where learning starts; `none` for equal scores, as published.
        k_sampling: `uniform`: sizes are drawn evenly up to all units; `log`: evenly on the log axis;
            `mixed`: every other one so, at random.
        k_least: The smallest size that is drawn, a share of all units; 0 for a single unit.
        temperature: T of the soft top-k.
        **options: Those of the learning loop.
    """
    n_units = job.space.n_units
    least = max(1.0, k_least * n_units)
    first = torch.zeros(n_units, dtype=torch.float64)
    if start != NONE:
        first = ordered(attribute(job, start), signed=options["objective"] == "metric")
    learner = _Order(first, k_sampling, least, temperature, options["learning_rate"])
    own = {"k_sampling": k_sampling, "k_least": k_least, "temperature": temperature}
    return learn(job, "MAttr", learner, own | {"start": start} | options)


def ordered(scores: Scores, *, signed: bool) -> Float[Tensor, "unit"]:
    """Scores to start from that have the order of others: -SHARPNESS ln(rank / number of units).

    A soft top-k of them keeps about the same units as the others' top k, at any k alike.

    Args:
        scores: The others.
        signed: Order by score; else by absolute score.
    """
    values = scores.values[scores.space.real]
    order = np.argsort(-(values if signed else np.abs(values)), kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    return torch.from_numpy(-SHARPNESS * np.log(ranks / len(order)))


def check_start(start: str, **options: Any) -> None:
    """Refuse what is no method to start from.

    Raises:
        OptionError: It learns masks itself.
        UnknownNameError: There is no such method.
    """
    if start != NONE and METHODS.get(start).learned:
        raise OptionError(f"method=MAttr: start={start} learns masks itself. Start from another.")


class _Order(Learner):
    """One score per unit."""

    def __init__(
        self,
        first: Float[Tensor, "unit"],
        sampling: str,
        least: float,
        temperature: float,
        rate: float,
    ) -> None:
        self.scores = first.clone().requires_grad_()
        self.sampling, self.least, self.temperature = sampling, least, temperature
        self.optimiser = torch.optim.Adam([self.scores], lr=rate)

    def draw(self, step: int, random: np.random.Generator) -> Float[Tensor, "unit"]:
        """A soft top-k of a size that is drawn anew."""
        return soft_top_k(self.scores, self.size(random.random()), self.temperature)

    def size(self, u: float) -> float:
        """A size from a number in [0, 1)."""
        n, least, sampling = self.scores.numel(), self.least, self.sampling
        if sampling == "mixed":
            sampling, u = ("log", 2 * u) if u < 0.5 else ("uniform", 2 * u - 1)
        return least + (n - least) * u if sampling == "uniform" else least * (n / least) ** u

    def ranking(self) -> Float[Tensor, "unit"]:
        """The scores."""
        return self.scores


def soft_top_k(
    scores: Float[Tensor, "unit"], k: float, temperature: float
) -> Float[Tensor, "unit"]:
    """Sigmoids of scores over a threshold at which they add up to k.

    Args:
        scores: In float64.
        k: From 0 to the number of scores, where all are 1.
        temperature: Width of the sigmoids.

    >>> soft_top_k(torch.zeros(4, dtype=torch.float64), 1.0, 0.5).round(decimals=9).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return _SoftTopK.apply(scores, k, temperature)  # type: ignore[no-untyped-call]


class _SoftTopK(torch.autograd.Function):
    """With p = z (1 - z):  d loss / d s_j = (p_j / T) (g_j - sum g p / sum p), g = d loss / d z."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, k: float, temperature: float) -> Tensor:
        if k >= scores.numel():
            z = torch.ones_like(scores)
        else:
            z = ((scores - _threshold(scores, k, temperature)) / temperature).sigmoid()
        ctx.save_for_backward(z)
        ctx.temperature = temperature
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (z,) = ctx.saved_tensors
        p = z * (1 - z)
        mean = (gradient * p).sum() / p.sum().clamp(min=LEAST_SPREAD)
        return p / ctx.temperature * (gradient - mean), None, None


def _threshold(scores: Tensor, k: float, temperature: float) -> float:
    """Where the sigmoids add up to k: Newton's method, by halves where it would leave the bracket."""
    low = float(scores.min()) - 40 * temperature
    high = float(scores.max()) + 40 * temperature
    at = (low + high) / 2
    for _ in range(HALVINGS):
        z = ((scores - at) / temperature).sigmoid()
        over = float(z.sum()) - k
        if abs(over) <= 1e-12 * scores.numel():
            break
        low, high = (at, high) if over > 0 else (low, at)
        slope = float((z * (1 - z)).sum()) / temperature
        at = at + over / slope if slope > 0 else low
        if not low < at < high:
            at = (low + high) / 2
    return at


METHODS.register("MAttr", also=("matryoshka", "matryoshka-attribution"))(
    learned_method(
        mattr,
        {
            **learning_options(steps=500, learning_rate=0.05, pairs_per_step=8, objective="metric"),
            "start": Option(Name("a method's name, or none"), NONE, "method to start from"),
            "k_sampling": Option(Choice(SAMPLINGS), "uniform", "how sizes are drawn"),
            "k_least": Option(Number(0, 1), 0.0, "smallest size drawn, as a share; 0: one unit"),
            "temperature": Option(Number(0, 1000, above=True), 0.5, "width of the soft top-k"),
        },
        "arXiv 2609.25518",
        members=lambda options: () if options["start"] == NONE else (options["start"],),
        check=check_start,
    )
)
