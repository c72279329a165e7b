"""top5_accuracy, top10_accuracy: whether a right answer begins with one of the likeliest tokens."""

from __future__ import annotations

from collections.abc import Callable

from harness_circuits.metrics.metrics import METRICS, Logits, Metric, PerExample
from harness_circuits.pairs.batch import Batch


def _top_k(k: int) -> Callable[[Logits, Batch, Logits | None], PerExample]:
    def function(logits: Logits, batch: Batch, clean: Logits | None) -> PerExample:
        top = logits[:, 0].topk(min(k, logits.shape[-1])).indices
        first = batch.answers.tokens[:, :, 0].to(logits.device)
        hit = (first[:, :, None] == top[:, None, :]).any(-1)
        return (hit & batch.answers.correct.to(logits.device)).any(1).to(logits.dtype)

    return function


for _k in (5, 10):
    METRICS.register(f"top{_k}_accuracy")(
        Metric(
            function=_top_k(_k),
            differentiable=False,
            description=f"share of examples with a correct answer among the {_k} likeliest tokens",
        )
    )
