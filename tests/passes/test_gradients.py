"""Gradients at every destination's input and every source's output, against finite differences."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import tiny_model, token_batches
from torch import Tensor

from harness_circuits.passes.gradients import (
    DESTINATION_POINTS,
    OUTPUT_POINTS,
    DestinationGradients,
    OutputGradients,
    add_destination_gradients,
    add_output_gradients,
    run_with_gradients,
)
from harness_circuits.passes.native import record
from harness_circuits.passes.patched import Patch, run_patched

EPSILON = 1e-4


def metric(logits: Tensor) -> Tensor:
    return logits[:, -1, 3] - logits[:, -1, 5]


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox"])
def test_a_gradient_is_what_a_small_patch_changes(architecture: str) -> None:
    """At an MLP's input, at the logits', and at an MLP's output."""
    model, (batch,) = tiny_model(architecture), token_batches()
    clean, _ = record(model, batch.clean)
    run = run_with_gradients(model, batch.clean, metric, DESTINATION_POINTS)
    found = DestinationGradients()
    add_destination_gradients(found, model, run, 1.0)
    outputs = run_with_gradients(model, batch.clean, metric, OUTPUT_POINTS)
    at = add_output_gradients(None, model, outputs, 1.0)
    assert found.final is not None
    last = model.graph.n_layers - 1
    direction = torch.randn(clean["block_in"][0].shape, dtype=torch.float64)
    for point, layer, gradient in (
        ("mlp_in", 0, found.mlp_in[0]),
        ("final", last, found.final),
        ("mlp", 0, at.mlp[0].flatten(0, 1)),
        ("attention", last, at.attention[last].flatten(0, 1)),
    ):
        values = []
        for step in (EPSILON, -EPSILON):
            patch = Patch(layer, (point,), (0,), step * direction[None])
            (logits,) = run_patched(model, batch.clean, clean, patch)
            values.append(metric(logits).sum())
        slope = (values[0] - values[1]) / (2 * EPSILON)
        torch.testing.assert_close(
            (gradient * direction.flatten(0, 1)).sum(), slope, atol=1e-9, rtol=1e-4
        )


def test_weighted_runs_add_up() -> None:
    model, (batch,) = tiny_model("llama"), token_batches()
    run = run_with_gradients(model, batch.clean, metric, OUTPUT_POINTS)
    found: OutputGradients | None = None
    for weight in (0.5, 2.0):
        found = add_output_gradients(found, model, run, weight)
    assert found is not None
    torch.testing.assert_close(found.mlp[1], 2.5 * run.gradients["mlp"][1])


def test_a_pass_side_by_side_is_several_passes() -> None:
    model, (batch,) = tiny_model("llama"), token_batches()
    run = run_with_gradients(model, batch.clean.repeated(2), metric, OUTPUT_POINTS)
    alone = run_with_gradients(model, batch.clean, metric, OUTPUT_POINTS)
    for part in run.row_groups(2):
        torch.testing.assert_close(part.metric, alone.metric)
        torch.testing.assert_close(part.gradients["mlp"][0], alone.gradients["mlp"][0])
        torch.testing.assert_close(part.start_gradient, alone.start_gradient)
