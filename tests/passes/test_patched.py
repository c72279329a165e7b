"""One unit patched at a time: several in one pass are each as alone, and nothing is nothing."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.passes.native import record
from harness_circuits.passes.patched import Patch, run_patched

UNITS = (("q", 1), ("q", 3), ("k", 0), ("v", 1), ("attention", 0), ("mlp_in", 0), ("mlp", 0))


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gpt_neox"])
def test_units_of_a_pass_are_each_as_alone(architecture: str) -> None:
    model, (batch,) = tiny_model(architecture), token_batches()
    clean, logits = record(model, batch.clean)
    generator = torch.Generator().manual_seed(0)
    shape = (len(UNITS), *clean["block_in"][0].shape)
    change = torch.randn(shape, generator=generator, dtype=torch.float64)
    points, heads = zip(*UNITS, strict=True)
    together = run_patched(model, batch.clean, clean, Patch(0, points, heads, change))
    for at, (point, head) in enumerate(UNITS):
        patch = Patch(0, (point,), (head,), change[at : at + 1])
        (alone,) = run_patched(model, batch.clean, clean, patch)
        torch.testing.assert_close(together[at], alone, rtol=0, atol=1e-5)
        assert float((alone - logits).abs().max()) > 1e-3


def test_no_change_is_the_clean_run_and_the_logits_input_is_read_by_the_last_norm_alone() -> None:
    model, (batch,) = tiny_model("llama"), token_batches()
    clean, logits = record(model, batch.clean, ("block_in", "final"))
    nothing = torch.zeros((2, *clean["block_in"][1].shape), dtype=torch.float64)
    for same in run_patched(model, batch.clean, clean, Patch(1, ("k", "v"), (0, 1), nothing)):
        torch.testing.assert_close(same, logits, rtol=0, atol=1e-5)
    change = torch.ones_like(nothing[:1])
    (found,) = run_patched(model, batch.clean, clean, Patch(1, ("final",), (0,), change))
    with torch.no_grad():
        final = model.hf.model.norm(clean["final"][1] + 1)  # type: ignore[union-attr, operator]
        wanted = model.hf.lm_head(final)[:, batch.clean.reads]  # type: ignore[operator]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
