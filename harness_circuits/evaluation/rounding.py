"""How much a metric moves when logits are moved by about their own floating-point error."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.metrics.metrics import Metric
from harness_circuits.pairs.batch import Batch

STEPS = 4  # in units of the last place of the model's numbers: what layers add up to


def rounding_error(
    metric: Metric,
    logits: Float[Tensor, "batch read vocab"],
    batch: Batch,
    clean: Float[Tensor, "batch read vocab"],
) -> Float[Tensor, "batch"]:
    """Change of a metric under a relative change of every logit, the same draw for all examples.

    Args:
        metric: The metric.
        logits: Logits in the model's dtype.
        batch: Where the answers are.
        clean: Logits of the clean run of the full model.
    """
    size = STEPS * torch.finfo(logits.dtype).eps
    draw = torch.randn(logits.shape[-1], generator=torch.Generator().manual_seed(0))
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    moved = wide * (1 + size * draw.to(wide))
    return (metric(moved, batch, clean) - metric(logits, batch, clean)).abs()
