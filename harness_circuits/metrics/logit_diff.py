"""logit_diff: how much higher the right first tokens stand than the wrong ones (IOI, EAP, MIB)."""

from __future__ import annotations

from harness_circuits.metrics.metrics import (
    METRICS,
    Logits,
    Metric,
    PerExample,
    first_token_logits,
    mean_over,
)
from harness_circuits.pairs.batch import Batch


def _logit_diff(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    values = first_token_logits(logits, batch.answers)
    return mean_over(values, batch.answers.correct) - mean_over(values, batch.answers.incorrect)


METRICS.register("logit_diff")(
    Metric(
        function=_logit_diff,
        compares_first_tokens=True,
        description="mean logit of the correct answers' first tokens minus that of the incorrect ones",
    )
)
