"""normalised_logit: the right logit in standard deviations above the mean of the vocabulary."""

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


def _normalised_logit(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    values = first_token_logits(logits, batch.answers) - logits[:, 0].mean(-1, keepdim=True)
    return mean_over(values, batch.answers.correct) / logits[:, 0].std(-1)


METRICS.register("normalised_logit")(
    Metric(
        function=_normalised_logit,
        description="correct logit, minus the mean over the vocabulary, over its standard deviation",
    )
)
