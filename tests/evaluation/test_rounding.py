"""What floating-point errors of logits do to a metric: more in less precision, or nothing."""

from __future__ import annotations

import torch
from helpers.tiny_models import token_batches

from harness_circuits.evaluation.rounding import STEPS, rounding_error
from harness_circuits.metrics.metrics import METRICS, Metric

(BATCH,) = token_batches()


def logits(dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (len(BATCH), len(BATCH.clean.reads), 61)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def test_it_is_of_the_size_of_the_last_place_and_the_same_each_time() -> None:
    metric, sizes = METRICS.get("logit_diff"), {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x = logits(dtype)
        found = rounding_error(metric, x, BATCH, x)
        torch.testing.assert_close(found, rounding_error(metric, x, BATCH, x), rtol=0, atol=0)
        bound = 8 * STEPS * torch.finfo(dtype).eps * float(x.abs().max())
        assert 0 < float(found.max()) <= bound
        sizes[dtype] = float(found.mean())
    assert sizes[torch.float64] < sizes[torch.float32] < sizes[torch.bfloat16]


def test_what_does_not_move_has_no_error() -> None:
    constant = Metric(function=lambda x, batch, clean: 0 * x[:, 0, 0] + 3, description="three")
    x = logits(torch.float32)
    assert (rounding_error(constant, x, BATCH, x) == 0).all()
    accuracy = rounding_error(METRICS.get("accuracy"), x, BATCH, x)
    assert (accuracy == 0).all()
