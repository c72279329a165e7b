"""js: minus the Jensen-Shannon divergence from the full model on the clean prompt."""

from __future__ import annotations

import torch

from harness_circuits.metrics.metrics import METRICS, Logits, Metric, PerExample
from harness_circuits.pairs.batch import Batch


def _js(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
    assert clean is not None
    log_p, log_q = clean[:, 0].log_softmax(-1), logits[:, 0].log_softmax(-1)
    log_m = torch.logaddexp(log_p, log_q) - torch.log(log_p.new_tensor(2.0))
    halves = log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)
    return -halves.sum(-1) / 2


METRICS.register("js")(
    Metric(
        function=_js,
        needs_clean=True,
        description="minus the Jensen-Shannon divergence from the full model's distribution",
    )
)
