"""What replacing one output changes in the residual stream: all heads of a layer, norm and all."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.passes.changes import Changes
from harness_circuits.passes.native import outputs_of, record


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2", "olmo2"])
def test_a_change_is_that_of_the_stream_with_that_output_replaced(architecture: str) -> None:
    model, (batch,) = tiny_model(architecture), token_batches()
    points = ("block_in", "mixed", "attention", "mlp")
    seen, _ = record(model, batch.clean, points)
    other, _ = record(model, batch.corrupted, points)
    clean, replaced = (
        outputs_of(model, batch.clean, seen),
        outputs_of(model, batch.corrupted, other),
    )
    changes, graph = Changes(model, clean, replaced, seen["attention"]), model.graph
    torch.testing.assert_close(changes.residual(0), replaced.embedded - clean.embedded)
    for index, layer in enumerate(model.layers):
        mlp = graph.mlp_source(index)
        torch.testing.assert_close(changes.residual(mlp), replaced.mlp[index] - clean.mlp[index])
        for head in range(graph.n_heads):
            mixed = clean.mixed[index].clone()
            mixed[:, :, head] = replaced.mixed[index][:, :, head]
            after = layer.after_attention(layer.attention_sum(mixed))
            before = layer.after_attention(layer.attention_sum(clean.mixed[index]))
            found = changes.residual(graph.head_source(index) + head)
            torch.testing.assert_close(found, after - before, rtol=0, atol=1e-9)
