"""An ordinary run with taps: the model's own logits, and outputs that add up to every input."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import ARCHITECTURES, tiny_model, token_batches

from harness_circuits.passes.native import NativeRun, outputs_of, record, source_outputs

POST_NORM = {"gemma2", "olmo2"}  # where heads add up before a norm


@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES if a not in POST_NORM])
def test_the_final_residual_is_the_sum_of_all_outputs(architecture: str) -> None:
    model, (batch,) = tiny_model(architecture), token_batches()
    seen, logits = record(model, batch.clean, ("block_in", "mixed", "mlp", "final"))
    outputs = outputs_of(model, batch.clean, seen)
    total = seen["block_in"][0].clone()
    for index, layer in enumerate(model.layers):
        bias = getattr(layer.out, "bias", None)
        total += torch.einsum("bphd,hdm->bpm", outputs.mixed[index], layer.w_o) + outputs.mlp[index]
        total += 0 if bias is None else bias
    torch.testing.assert_close(total, seen["final"][model.graph.n_layers - 1])
    position = model.position_embedding(batch.clean, total)
    torch.testing.assert_close(outputs.embedded + position, seen["block_in"][0])
    with torch.no_grad():
        own = model.hf(batch.clean.ids).logits[:, batch.clean.reads]
    torch.testing.assert_close(logits, own, rtol=0, atol=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_run_for_outputs_alone_reads_no_logits(architecture: str) -> None:
    model, (batch,) = tiny_model(architecture), token_batches()
    read: list[int] = []
    head = model.hf.get_output_embeddings()
    hook = head.register_forward_hook(lambda module, args, out: read.append(out.numel()))
    try:
        found = source_outputs(model, batch.clean)
        expected = outputs_of(model, batch.clean, record(model, batch.clean)[0])
    finally:
        hook.remove()
    assert read[0] == 0 < read[1]
    pairs = zip((*found.mixed, *found.mlp), (*expected.mixed, *expected.mlp), strict=True)
    assert torch.equal(found.embedded, expected.embedded)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_only_what_is_asked_for_is_kept_and_gradients_reach_the_start() -> None:
    model, (batch,) = tiny_model("llama"), token_batches()
    run = NativeRun(model, ("mlp",), differentiable=True)
    model.forward(batch.clean, run).sum().backward()
    assert set(run.seen.at) == {"mlp"} and set(run.seen["mlp"]) == {0, 1}
    run = NativeRun(model, ("block_in",), differentiable=True)
    model.forward(batch.clean, run).sum().backward()
    gradient = run.seen["block_in"][0].grad
    assert gradient is not None and float(gradient.abs().max()) > 0


def test_a_run_can_begin_at_a_later_block() -> None:
    model, (batch,) = tiny_model("llama"), token_batches()
    seen, logits = record(model, batch.clean)
    late = NativeRun(model, (), seen["block_in"][1], first=1)
    with torch.no_grad():
        torch.testing.assert_close(model.forward(batch.clean, late), logits)
