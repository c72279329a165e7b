"""One block taken apart: its parts, put together again by hand, are the block."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import ARCHITECTURES, tiny_model, token_batches

from harness_circuits.passes.native import record


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_block_adds_its_heads_results_and_its_mlp(architecture: str) -> None:
    """Heads add `mixed @ w_o`, and the output bias once; where there is a post-norm, behind it."""
    model, (batch,) = tiny_model(architecture), token_batches()
    seen, _ = record(model, batch.clean, ("block_in", "mixed", "attention", "mlp_in", "mlp"))
    for index, layer in enumerate(model.layers[:-1]):
        heads = torch.einsum("bphd,hdm->bpm", seen["mixed"][index], layer.w_o)
        bias = getattr(layer.out, "bias", None)
        attention = heads if bias is None else heads + bias
        torch.testing.assert_close(seen["attention"][index], attention)
        after = layer.after_attention(attention)
        mid = seen["block_in"][index] + after
        mlp_in = seen["block_in"][index] if model.graph.parallel else mid
        torch.testing.assert_close(seen["mlp_in"][index], mlp_in)
        torch.testing.assert_close(seen["mlp"][index], layer.mlp_out(mlp_in))
        torch.testing.assert_close(seen["block_in"][index + 1], mid + seen["mlp"][index])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_folded_weights_read_the_normalised_residual(architecture: str) -> None:
    """q = W' x / s + b', where W' has the norm's gain. (Norms of transformers work in float32.)"""
    model, (batch,) = tiny_model(architecture), token_batches()
    seen, _ = record(model, batch.clean, ("block_in", "q"))
    for index, layer in enumerate(model.layers):
        x, (weight, bias) = seen["block_in"][index], layer.folded["q"]
        scale = 1 if layer.norm is None else layer.norm.inverse_scale(x)
        found = torch.einsum("bpm,hdm->bphd", x * scale, weight) + (0 if bias is None else bias)
        torch.testing.assert_close(found, seen["q"][index], rtol=0, atol=1e-5)


def test_a_call_is_divided_into_hidden_states_and_the_rest() -> None:
    layer = tiny_model("llama").layers[0]
    x, table = torch.zeros(1, 2, 3), (torch.ones(2), torch.ones(2))
    for args, kwargs in (((x,), {}), ((), {"hidden_states": x})):
        hidden, rest = layer.bind(
            args, {**kwargs, "position_embeddings": table, "use_cache": False}
        )
        assert hidden is x
        assert rest["use_cache"] is False and isinstance(rest["position_embeddings"], tuple)


def test_shared_heads_are_repeated_for_the_queries_that_share_them() -> None:
    layer = tiny_model("llama").layers[0]
    x = torch.arange(2.0).view(1, 1, 2, 1)
    assert layer.ungroup(x).flatten().tolist() == [0, 0, 1, 1]
    assert layer.ungroup(layer.ungroup(x)).flatten().tolist() == [0, 0, 1, 1]
