"""The registry of task metrics, and what several of them read from logits at read positions.

Each metric is one record in a file of its own: its function, whether higher is better, whether it
can be differentiated (and so drive attribution), whether it compares with the clean run of the full
model, and whether it needs whole answers or only their first tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from harness_circuits.errors import OptionError
from harness_circuits.pairs.batch import Answers, Batch
from harness_circuits.registry import Registry

Logits = Float[Tensor, "batch read vocab"]
PerExample = Float[Tensor, "batch"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        function: (logits, batch, logits of the clean full run) to one value per example.
        higher_is_better: Direction.
        differentiable: Whether attribution can use it.
        needs_clean: Whether it reads the clean run's logits.
        whole_answers: Whether it scores all tokens of an answer.
        compares_first_tokens: Whether it is the same for right and wrong answers that begin with the
            same token, so that such pairs say nothing.
        description: One line for tables and documentation.
    """

    function: Callable[[Logits, Batch, Logits | None], PerExample]
    higher_is_better: bool = True
    differentiable: bool = True
    needs_clean: bool = False
    whole_answers: bool = False
    compares_first_tokens: bool = False
    description: str

    def __call__(self, logits: Logits, batch: Batch, clean: Logits | None = None) -> PerExample:
        """Evaluate the metric in at least float32."""
        dtype = torch.promote_types(logits.dtype, torch.float32)
        if self.needs_clean and clean is None:
            raise OptionError("This metric compares with the clean run, whose logits are missing.")
        return self.function(logits.to(dtype), batch, None if clean is None else clean.to(dtype))


METRICS: Registry[Metric] = Registry("metric")


def first_token_logits(logits: Logits, answers: Answers) -> Float[Tensor, "batch choice"]:
    """Logit of every answer's first token after the prompt."""
    return logits[:, 0].gather(1, answers.tokens[:, :, 0].to(logits.device))


def answer_log_probs(logits: Logits, answers: Answers) -> Float[Tensor, "batch choice"]:
    """Log-probability of every whole answer; -inf where a row has fewer choices."""
    tokens, reads = answers.tokens.to(logits.device), answers.reads.to(logits.device)
    real = answers.real.to(logits.device)
    normaliser = _normaliser(logits)
    rows = torch.arange(logits.shape[0], device=logits.device)[:, None, None]
    steps = logits[rows, reads, tokens] - normaliser.gather(1, reads.flatten(1)).view_as(reads)
    total = steps.masked_fill(~real, 0).sum(-1)
    return total.masked_fill(~real[:, :, 0], -torch.inf)


def _normaliser(logits: Logits) -> Float[Tensor, "batch read"]:
    """The logarithm of the summed exponentials; row by row on a CPU, whose cache holds one."""
    if logits.requires_grad or logits.device.type != "cpu" or not len(logits):
        return logits.logsumexp(-1)
    return torch.stack([row.logsumexp(-1) for row in logits])


def mean_over(
    values: Float[Tensor, "batch choice"], which: Bool[Tensor, "batch choice"]
) -> PerExample:
    """Mean of the values of some choices of every row."""
    which = which.to(values.device)
    return values.masked_fill(~which, 0).sum(1) / which.sum(1)
