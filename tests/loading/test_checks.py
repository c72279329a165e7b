"""The checks at loading find a model whose parts do not add up to it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from helpers.tiny_models import (
    random_hf,
)

from harness_circuits.errors import NumericalError, UnsupportedModelError
from harness_circuits.loading import checks
from harness_circuits.loading.load import take_apart
from harness_circuits.models.circuit_model import CircuitModel


def tampered(architecture: str, change: Any) -> str:
    """The refusal of a model whose parts were exchanged after it had been taken apart."""
    model = CircuitModel(random_hf(architecture), name="tampered")
    checks.check_model(model)  # sound before
    change(model)
    with pytest.raises(UnsupportedModelError) as error:
        checks.check_model(model)
    return str(error.value)


def _scale_output_weights(model: CircuitModel) -> None:
    model.layers[1].w_o = model.layers[1].w_o * 1.01


def _shift_folded_weights(model: CircuitModel) -> None:
    weight, bias = model.layers[0].folded["k"]
    model.layers[0].folded["k"] = (weight.flip(0), bias)


def _forget_post_norm(model: CircuitModel) -> None:
    model.layers[0].post_attention = None


def _forget_mlp_norm(model: CircuitModel) -> None:
    model.layers[1].pre_mlp = None


def _claim_parallel(model: CircuitModel) -> None:
    model.graph = type(model.graph)(**{**model.graph.to_dict(), "parallel": True})


def _reorder(layer: Any, order: tuple[int, int, int]) -> None:
    """Call queries, keys and values by each other's names, everywhere alike."""
    split, core = layer.projections.split, layer.core
    back = [order.index(kind) for kind in range(3)]

    def mixed(*values: Any) -> Any:
        return core(*(values[at] for at in back), values[3])

    layer.projections.split = lambda fused, dim: [split(fused, dim)[kind] for kind in order]
    layer.core = mixed
    layer.folded = {kind: layer.folded["qkv"[old]] for kind, old in zip("qkv", order, strict=True)}


def _swap_keys_and_values(model: CircuitModel) -> None:
    _reorder(model.layers[1], (0, 2, 1))


def _swap_queries_and_keys(model: CircuitModel) -> None:
    _reorder(model.layers[0], (1, 0, 2))


def _wrong_position_table(model: CircuitModel) -> None:
    model.position_table = copy.deepcopy(model.position_table)
    with torch.no_grad():
        model.position_table.weight[2] += 1.0  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("architecture", "change", "where"),
    [
        ("gpt2", _scale_output_weights, "the logits of the full edge circuit"),
        ("qwen2", _shift_folded_weights, "the logits of the full edge circuit"),
        ("gemma2", _forget_post_norm, "the logits of a run block by block"),
        ("llama", _forget_mlp_norm, "the logits of a run block by block"),
        ("llama", _claim_parallel, "the logits of a run block by block"),
        ("gpt_neox", _swap_keys_and_values, "the heads of layer 1 when only the first has values"),
        ("gpt_neox", _swap_queries_and_keys, "the heads of layer 0 when the first token's queries"),
    ],
)
def test_a_wrong_decomposition_is_caught(architecture: str, change: Any, where: str) -> None:
    message = tampered(architecture, change)
    assert message.startswith("tampered (")
    assert "its nodes do not add up to the model. Relative difference" in message
    assert where in message


def test_position_embeddings_belong_to_no_node_whatever_they_are() -> None:
    """A table that is wrong for both runs alike leaves every difference right, and so no trace."""
    model = CircuitModel(random_hf("gpt2"))
    _wrong_position_table(model)
    checks.check_model(model)


def test_a_model_that_overflows_float16_is_refused_with_the_way_out() -> None:
    hf = random_hf("gpt2")
    with torch.no_grad():
        hf.transformer.h[0].mlp.c_proj.weight *= 1e6
    take_apart(hf)
    with pytest.raises(
        NumericalError,
        match=r"broad gives logits that are not finite in float16.*"
        r"use dtype=float32",
    ):
        take_apart(hf.half(), name="broad")
