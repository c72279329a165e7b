"""kl: minus the Kullback-Leibler divergence from the full model on the clean prompt."""

from __future__ import annotations

from harness_circuits.metrics.metrics import METRICS, Logits, Metric, PerExample
from harness_circuits.pairs.batch import Batch


def _kl(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    assert clean is not None
    log_p, log_q = clean[:, 0].log_softmax(-1), logits[:, 0].log_softmax(-1)
    return -(log_p.exp() * (log_p - log_q)).sum(-1)


METRICS.register("kl")(
    Metric(
        function=_kl,
        needs_clean=True,
        description="minus the KL divergence from the full model's distribution on the clean prompt",
    )
)
