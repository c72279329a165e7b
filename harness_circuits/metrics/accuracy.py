"""accuracy: whether the most probable choice is a right one."""

from __future__ import annotations

from harness_circuits.metrics.metrics import METRICS, Logits, Metric, PerExample, answer_log_probs
from harness_circuits.pairs.batch import Batch


def accuracy(logits: Logits, batch: Batch, clean: Logits | None = None) -> PerExample:
    """1 where the most probable choice is a correct one (whole answers, as lm-eval scores them)."""
    values = answer_log_probs(logits, batch.answers)
    return batch.answers.correct.to(values).gather(1, values.argmax(1, keepdim=True)).squeeze(1)


METRICS.register("accuracy")(
    Metric(
        function=accuracy,
        differentiable=False,
        whole_answers=True,
        description="share of examples whose most probable choice is correct",
    )
)
