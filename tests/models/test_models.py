"""Which models are taken, which are refused and why; taking a model apart is harmless."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import Reference, exact_float64
from helpers.tiny_models import (
    ARCHITECTURES,
    GROUPED,
    GROUPED_ARCHITECTURES,
    NEOX,
    random_hf,
    tiny_model,
)
from transformers import AutoConfig, AutoModelForCausalLM

from harness_circuits.errors import UnsupportedModelError
from harness_circuits.loading import checks
from harness_circuits.loading.load import take_apart
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.models.norms import read_norm

IDS = torch.tensor([[3, 14, 15, 9, 26], [2, 7, 18, 28, 18]])
INPUTS = Inputs(IDS, torch.arange(5))
OPT = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "ffn_dim": 48,
    "word_embed_proj_dim": 32,
    "max_position_embeddings": 64,
}
MOE = {**GROUPED, "num_experts_per_tok": 2}


def hf_of(kind: str, **config: Any) -> Any:
    """A random model whose norms and biases are not at their initial values."""
    found = AutoConfig.for_model(kind, vocab_size=61, **config)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(found, name, 0)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(found).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
            else:
                parameter.copy_(torch.randn_like(parameter) * 0.25)
    return model


def refusal(model: Any, **options: Any) -> str:
    with pytest.raises(UnsupportedModelError) as error:
        take_apart(model, **options)
    return str(error.value)


# ---- models that are taken


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_huggingfaces(architecture: str) -> None:
    with torch.no_grad():
        wanted = random_hf(architecture).double()(IDS, use_cache=False).logits
    for kv_heads in ("ungrouped", "grouped"):
        model = tiny_model(architecture, kv_heads=kv_heads)
        with torch.no_grad():
            assert torch.equal(model.hf(IDS, use_cache=False).logits, wanted)
            assert torch.equal(model.forward(INPUTS), wanted)


@pytest.mark.parametrize("architecture", GROUPED_ARCHITECTURES)
def test_grouping_changes_the_graph_and_nothing_else(architecture: str) -> None:
    ungrouped = tiny_model(architecture, kv_heads="ungrouped")
    grouped = tiny_model(architecture, kv_heads="grouped")
    assert (ungrouped.graph.n_kv_heads, grouped.graph.n_kv_heads) == (4, 2)
    assert torch.equal(ungrouped.forward(INPUTS), grouped.forward(INPUTS))
    assert int(grouped.hf.config.num_key_value_heads) == 2
    for model in (ungrouped, grouped):  # the model's own modules are as they were
        attention = model.hf.get_submodule("model.layers.0.self_attn")
        assert attention.num_key_value_groups == 2
        assert attention.k_proj.weight.shape == (16, 32)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("mixtral", {**MOE, "num_local_experts": 4}),
        ("qwen3_moe", {**MOE, "num_experts": 4, "moe_intermediate_size": 16}),
        ("gemma3_text", {**GROUPED, "query_pre_attn_scalar": 8, "sliding_window": 4}),
        ("olmo3", {**GROUPED, "sliding_window": 4}),
        ("stablelm", GROUPED),
        ("starcoder2", GROUPED),
    ],
)
def test_further_architectures_pass_all_checks(kind: str, config: dict[str, Any]) -> None:
    """Models with routed experts too: the router is part of the MLP's node."""
    hf = hf_of(kind, **config)
    with torch.no_grad():
        wanted = hf(IDS, use_cache=False).logits
    for kv_heads in ("ungrouped", "grouped"):
        model = take_apart(hf, kv_heads=kv_heads)  # type: ignore[arg-type]
        assert torch.equal(model.forward(INPUTS), wanted)


@pytest.mark.parametrize("parallel", [True, False])
def test_neox_comes_in_parallel_and_sequential(parallel: bool) -> None:
    hf = random_hf("gpt_neox", use_parallel_residual=parallel).double()
    model, reference = take_apart(hf), Reference(hf)
    assert model.graph.parallel == reference.parallel == parallel
    assert np.array_equal(model.graph.edge_mask, reference.exists().numpy())
    with exact_float64(), torch.no_grad():
        wanted = hf(IDS, use_cache=False).logits[:, -1]
        torch.testing.assert_close(reference.run(IDS)[0], wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
def test_every_dtype_passes_the_checks(architecture: str, dtype: torch.dtype) -> None:
    model = take_apart(random_hf(architecture).to(dtype))
    assert model.dtype == dtype
    assert model.sum_dtype == torch.float32


def test_a_model_is_frozen_and_counts_start_at_zero() -> None:
    model = take_apart(random_hf("gpt2").train())
    assert not model.hf.training
    assert not any(parameter.requires_grad for parameter in model.hf.parameters())
    assert not model.counts
    model.forward(INPUTS)
    assert model.counts == {"forward": 1}


# ---- models that are refused


@pytest.mark.parametrize(
    ("kind", "config", "reason"),
    [
        (
            "mamba",
            {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
            "MambaForCausalLM cannot be used: it is not a decoder-only transformer with attention "
            "and an MLP in every block (TransformerLens lists no attn, mlp).",
        ),
        (
            "opt",
            {**OPT, "do_layer_norm_before": False},
            "OPTForCausalLM cannot be used: it normalises the residual stream itself after each "
            "block (post-LN, do_layer_norm_before=False)",
        ),
        ("opt", OPT, "OPTForCausalLM cannot be used: its MLP or attention is not a module"),
        (
            "openai-gpt",
            {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64},
            "OpenAIGPTLMHeadModel cannot be used: it is not a decoder-only transformer",
        ),
        (
            "bert",
            {**NEOX, "is_decoder": True},
            "BertLMHeadModel cannot be used: its MLP or attention",
        ),
        (
            "bloom",
            {"hidden_size": 32, "n_head": 4, "n_layer": 2},
            "BloomForCausalLM) cannot be used: its blocks are not made of the parts this package "
            "knows (TypeError: BloomAttention.forward() missing",
        ),
        (
            "granite",
            {**GROUPED, "residual_multiplier": 0.5},
            "GraniteForCausalLM) cannot be used: its nodes do not add up to the model. Relative",
        ),
        ("cohere", GROUPED, "The norm model.layers.0.input_layernorm (CohereLayerNorm) is neither"),
        ("olmo", GROUPED, "The norm model.layers.0.input_layernorm (OlmoLayerNorm) has no weight"),
    ],
)
def test_other_structures_are_refused_with_the_reason(
    kind: str, config: dict[str, Any], reason: str
) -> None:
    hf = hf_of(kind, **config)
    with torch.no_grad():
        before = hf(IDS, use_cache=False).logits if kind != "mamba" else None
    assert reason in refusal(hf)
    if before is not None:
        with torch.no_grad():
            assert torch.equal(hf(IDS, use_cache=False).logits, before), "the model was changed"


# ---- the checks at loading


def test_the_constructor_takes_apart_and_runs_nothing() -> None:
    """`take_apart` runs the checks, whose passes are not counted either."""
    hf = random_hf("gpt2")
    calls: list[Any] = []
    hf.register_forward_pre_hook(lambda *_: calls.append(1))
    CircuitModel(hf)
    assert not calls
    take_apart(hf)
    assert calls


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


def test_a_norm_of_another_form_is_refused() -> None:
    class Cubed(torch.nn.LayerNorm):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) ** 3

    with pytest.raises(
        UnsupportedModelError, match=r"The norm here \(Cubed\) is neither a LayerNorm"
    ):
        read_norm(Cubed(8), 8, "here")
    with pytest.raises(UnsupportedModelError, match=r"\(LayerNorm\) has no weight"):
        read_norm(torch.nn.LayerNorm(8, elementwise_affine=False), 8, "here")
    with pytest.raises(UnsupportedModelError, match=r"\(LayerNorm\) has no weight"):
        read_norm(torch.nn.LayerNorm(9), 8, "here")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_norm_is_its_gain_bias_and_scale(architecture: str) -> None:
    norm = tiny_model(architecture).final_norm
    x = torch.randn(3, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(5, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with exact_float64():
        wanted = norm.module(x) @ weight.T
    folded, bias = norm.fold(weight, None)
    got = (x @ folded.T) * norm.inverse_scale(x) + (0 if bias is None else bias)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
