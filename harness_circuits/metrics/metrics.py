"""Task metrics per example, from the logits at a batch's read positions.

Each metric is one record: its function, whether higher is better, whether it can be differentiated
(and so drive attribution), whether it compares with the clean run of the full model, and whether it
needs whole answers or only their first tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from harness_circuits.errors import OptionError
from harness_circuits.pairs.tokenise import Answers, Batch
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
    normaliser = logits.logsumexp(-1)
    rows = torch.arange(logits.shape[0], device=logits.device)[:, None, None]
    steps = logits[rows, reads, tokens] - normaliser.gather(1, reads.flatten(1)).view_as(reads)
    total = steps.masked_fill(~real, 0).sum(-1)
    return total.masked_fill(~real[:, :, 0], -torch.inf)


def _mean_over(
    values: Float[Tensor, "batch choice"], which: Bool[Tensor, "batch choice"]
) -> Tensor:
    which = which.to(values.device)
    return values.masked_fill(~which, 0).sum(1) / which.sum(1)


def _logit_diff(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    values = first_token_logits(logits, batch.answers)
    return _mean_over(values, batch.answers.correct) - _mean_over(values, batch.answers.incorrect)


def _prob_diff(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    values = answer_log_probs(logits, batch.answers).exp()
    sign = batch.answers.correct.to(values) - batch.answers.incorrect.to(values)
    return (values * sign).sum(1)


def _normalised_logit(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    values = first_token_logits(logits, batch.answers) - logits[:, 0].mean(-1, keepdim=True)
    return _mean_over(values, batch.answers.correct) / logits[:, 0].std(-1)


def _mib_normalized_logit(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    values = first_token_logits(logits, batch.answers)
    return _mean_over(values, batch.answers.correct) / logits[:, 0].amax(-1)


def _kl(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    assert clean is not None
    log_p, log_q = clean[:, 0].log_softmax(-1), logits[:, 0].log_softmax(-1)
    return -(log_p.exp() * (log_p - log_q)).sum(-1)


def _js(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    assert clean is not None
    log_p, log_q = clean[:, 0].log_softmax(-1), logits[:, 0].log_softmax(-1)
    log_m = torch.logaddexp(log_p, log_q) - torch.log(log_p.new_tensor(2.0))
    halves = log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)
    return -halves.sum(-1) / 2


def accuracy(logits: Logits, batch: Batch, clean: Logits | None = None) -> PerExample:
    """1 where the most probable choice is a correct one (whole answers, as lm-eval scores them)."""
    values = answer_log_probs(logits, batch.answers)
    return batch.answers.correct.to(values).gather(1, values.argmax(1, keepdim=True)).squeeze(1)


def _top_k(k: int) -> Callable[[Logits, Batch, Logits | None], PerExample]:
    def function(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
        top = logits[:, 0].topk(min(k, logits.shape[-1])).indices
        first = batch.answers.tokens[:, :, 0].to(logits.device)
        hit = (first[:, :, None] == top[:, None, :]).any(-1)
        return (hit & batch.answers.correct.to(logits.device)).any(1).to(logits.dtype)

    return function


def _add(name: str, metric: Metric) -> None:
    METRICS.register(name)(metric)


_add(
    "logit_diff",
    Metric(
        function=_logit_diff,
        compares_first_tokens=True,
        description="mean logit of the correct answers' first tokens minus that of the incorrect ones",
    ),
)
_add(
    "prob_diff",
    Metric(
        function=_prob_diff,
        whole_answers=True,
        description="summed probability of the correct answers minus that of the incorrect ones",
    ),
)
_add(
    "normalised_logit",
    Metric(
        function=_normalised_logit,
        description="correct logit, minus the mean over the vocabulary, over its standard deviation",
    ),
)
_add(
    "mib_normalized_logit",
    Metric(
        function=_mib_normalized_logit,
        description="correct logit over the highest logit of all (MIB's `normalized_logit`)",
    ),
)
_add(
    "kl",
    Metric(
        function=_kl,
        needs_clean=True,
        description="minus the KL divergence from the full model's distribution on the clean prompt",
    ),
)
_add(
    "js",
    Metric(
        function=_js,
        needs_clean=True,
        description="minus the Jensen-Shannon divergence from the full model's distribution",
    ),
)
_add(
    "accuracy",
    Metric(
        function=accuracy,
        differentiable=False,
        whole_answers=True,
        description="share of examples whose most probable choice is correct",
    ),
)
for _k in (5, 10):
    _add(
        f"top{_k}_accuracy",
        Metric(
            function=_top_k(_k),
            differentiable=False,
            description=f"share of examples with a correct answer among the {_k} likeliest tokens",
        ),
    )
