"""mib_normalized_logit: the right logit over the highest of all, MIB's `normalized_logit`."""

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


def _mib_normalized_logit(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    values = first_token_logits(logits, batch.answers)
    return mean_over(values, batch.answers.correct) / logits[:, 0].amax(-1)


METRICS.register("mib_normalized_logit")(
    Metric(
        function=_mib_normalized_logit,
        description="correct logit over the highest logit of all (MIB's `normalized_logit`)",
    )
)
