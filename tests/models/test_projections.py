"""Projections, fused or not, are read head by head as the attention module itself reads them."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import ARCHITECTURES, tiny_model

from harness_circuits.models.projections import weight_of


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_and_biases_give_what_the_modules_give(architecture: str) -> None:
    """And so `split` has taken rows of the weight and entries of the output apart in the same way."""
    model = tiny_model(architecture)
    x = torch.randn(2, 3, model.graph.d_model, dtype=torch.float64)
    for layer in model.layers:
        found = layer.projections(x, x.device)
        heads = (model.graph.n_heads, layer.projections.n_kv_heads, layer.projections.n_kv_heads)
        for out, n, (weight, bias) in zip(found, heads, layer.projections.weights(), strict=True):
            assert weight.shape == (n, layer.d_head, model.graph.d_model)
            wanted = torch.einsum("bpm,hdm->bphd", x, weight) + (0 if bias is None else bias)
            torch.testing.assert_close(out, wanted)


@pytest.mark.parametrize(
    ("architecture", "rows"),
    [("gpt2", ["qqqq", "kkkk", "vvvv"]), ("gpt_neox", ["qkv"] * 4)],
)
def test_fused_projections_are_laid_out_as_the_model_has_them(
    architecture: str, rows: list[str]
) -> None:
    """All queries first, then keys, then values; or head by head a query, its key and its value."""
    projections = tiny_model(architecture).layers[0].projections
    kinds = "".join(rows)
    assert len(kinds) * projections.d_head == len(weight_of(projections.modules[0]))
    numbers = torch.arange(len(kinds)).repeat_interleave(projections.d_head)
    for kind, found in zip("qkv", projections.split(numbers[None], 1), strict=True):
        wanted = [at for at, letter in enumerate(kinds) if letter == kind]
        assert found[0, :, 0].tolist() == wanted
