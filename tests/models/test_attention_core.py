"""The core of attention against softmax written out, and with one key and value per query head."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import GROUPED_ARCHITECTURES, tiny_model, token_batches

from harness_circuits.passes.native import record


@pytest.mark.parametrize(("architecture", "scaled"), [("gpt2", True), ("opt", True)])
def test_without_rotary_positions_it_is_softmax_of_queries_and_keys(
    architecture: str, scaled: bool
) -> None:
    model, (batch,) = tiny_model(architecture), token_batches()
    seen, _ = record(model, batch.clean, ("q", "k", "v", "mixed"))
    for layer, mixed in seen["mixed"].items():
        q, k, v = (seen[kind][layer].transpose(1, 2) for kind in "qkv")
        logits = q @ k.mT / (q.shape[-1] ** 0.5 if scaled else 1)
        after = torch.ones(logits.shape[-2:], dtype=torch.bool).triu(1)
        pattern = logits.masked_fill(after, -torch.inf).softmax(-1)
        torch.testing.assert_close(mixed, (pattern @ v).transpose(1, 2), rtol=0, atol=1e-10)


@pytest.mark.parametrize("architecture", GROUPED_ARCHITECTURES)
def test_heads_that_share_a_key_mix_as_the_models_own_attention(architecture: str) -> None:
    """Key and value heads repeated for the query heads that share them change no logit."""
    model, (batch,) = tiny_model(architecture), token_batches()
    seen, logits = record(model, batch.clean, ("q", "k"))
    assert seen["k"][0].shape == seen["q"][0].shape
    with torch.no_grad():
        own = model.hf(batch.clean.ids).logits[:, batch.clean.reads]
    torch.testing.assert_close(logits, own, rtol=0, atol=1e-5)


def test_what_it_is_given_is_left_as_it_was() -> None:
    """OLMo clips queries, keys and values in place: in copies."""
    model, (batch,) = tiny_model("olmo"), token_batches()
    seen, _ = record(model, batch.clean, ("q", "k", "v"))
    before = {kind: seen[kind][0].clone() for kind in "qkv"}
    arguments: dict[str, object] = {}

    def take(index: int, x: torch.Tensor, given: dict[str, object]) -> torch.Tensor:
        arguments.setdefault(str(index), given)
        return x

    with torch.no_grad():
        model.forward(batch.clean, take)
        core = model.layers[0].core
        core(*(seen[kind][0] for kind in "qkv"), arguments["0"])  # type: ignore[arg-type]
    for kind in "qkv":
        torch.testing.assert_close(seen[kind][0], before[kind], rtol=0, atol=0)
