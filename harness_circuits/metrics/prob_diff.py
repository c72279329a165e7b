"""prob_diff: how much likelier the right answers are than the wrong ones (Hanna et al. 2023)."""

from __future__ import annotations

from harness_circuits.metrics.metrics import METRICS, Logits, Metric, PerExample, answer_log_probs
from harness_circuits.pairs.batch import Batch


def _prob_diff(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    values = answer_log_probs(logits, batch.answers).exp()
    sign = batch.answers.correct.to(values) - batch.answers.incorrect.to(values)
    return (values * sign).sum(1)


METRICS.register("prob_diff")(
    Metric(
        function=_prob_diff,
        whole_answers=True,
        description="summed probability of the correct answers minus that of the incorrect ones",
    )
)
