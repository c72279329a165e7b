"""The loss of a mask on some pairs, and its gradient.

    metric       - m(C)                       the circuit shall do the task: what CPR rewards
    match        (m(C) - m(N))^2              it shall do it as well as the model: what CMD rewards
    kl           KL(N || C)                   its distribution behind the prompt shall be the model's

each per pair, C the masked run and N the model. With `complement_weight` L, L times the cross entropy
of the uniform distribution over a pair's answers and that of the complement's run, in which 1 - z takes
the place of z (DiscoGP, arXiv 2407.03779): what is left out shall not tell the answers apart.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.job import Job
from harness_circuits.attribution.learning.minibatches import Minibatches, OfClean, Prepared
from harness_circuits.metrics.metrics import METRICS, Logits, PerExample, first_token_logits
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.masked_run import run_masked


class Objective:
    """The loss of masks.

    Attributes:
        job: Model, pairs, metric, level and ablation.
        name: `metric`, `match` or `kl`.
        complement_weight: Weight of the complement's term.
    """

    def __init__(self, job: Job, name: str, complement: float) -> None:
        """Take the loss's name and weight."""
        self.job, self.name, self.complement = job, name, complement
        self._kl = METRICS.get("kl")
        self._real = torch.from_numpy(job.space.real)

    @property
    def of_clean(self) -> OfClean | None:
        """What the loss takes of the full model's logits: themselves, or the metric by them."""
        if self.name == "kl" or self.job.metric.needs_clean:
            return lambda logits, batch: logits
        return self.job.metric if self.name == "match" else None

    def gradient(
        self, mask: Float[Tensor, "unit"], part: Prepared, data: Minibatches
    ) -> tuple[float, Float[Tensor, "unit"]]:
        """The loss summed over pairs, and its gradient, in float64 on the CPU.

        Args:
            mask: z of every unit that exists.
            part: The pairs.
            data: Where they come from.
        """
        model, stream = self.job.model, data.stream(part)
        full = torch.zeros(self.job.space.shape, dtype=torch.float64)
        full[self._real] = mask.detach()
        leaf = full.to(model.device, model.sum_dtype).requires_grad_()
        with torch.enable_grad():
            logits = run_masked(model, self.job.level, leaf, part.batch.clean, stream)
            loss = self._loss(logits, part.batch, part.clean).sum()
            if self.complement:
                other = run_masked(model, self.job.level, 1 - leaf, part.batch.clean, stream)
                loss = loss + self.complement * indifference(other, part.batch).sum()
            (found,) = torch.autograd.grad(loss, leaf)
        model.counts["backward"] += 2 if self.complement else 1
        model.counts["contraction"] += 2 if self.complement else 1
        return float(loss.detach()), found.to("cpu", torch.float64)[self._real]

    def _loss(self, logits: Logits, batch: Batch, clean: Tensor | None) -> PerExample:
        metric = self.job.metric
        if self.name == "kl":
            return -self._kl(logits, batch, clean)
        value = metric(logits, batch, clean if metric.needs_clean else None)
        if self.name == "match":
            assert clean is not None
            whole = metric(clean, batch, clean).detach() if metric.needs_clean else clean
            return (value - whole).square()
        return -value if metric.higher_is_better else value


def indifference(logits: Logits, batch: Batch) -> PerExample:
    """Cross entropy of the uniform distribution over a pair's answers and a run's, by first tokens."""
    real = batch.answers.real[:, :, 0].to(logits.device)
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    chosen = first_token_logits(wide, batch.answers).masked_fill(~real, -torch.inf)
    spread = chosen.log_softmax(-1).masked_fill(~real, 0)
    return -spread.sum(-1) / real.sum(-1)
