"""Which models are taken, which are refused and why; taking a model apart is harmless."""

from __future__ import annotations

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
    OPT,
    random_hf,
    random_hf_of,
    tiny_model,
)

from harness_circuits.loading.load import take_apart
from harness_circuits.models.circuit_model import CircuitModel, Inputs

IDS = torch.tensor([[3, 14, 15, 9, 26], [2, 7, 18, 28, 18]])
INPUTS = Inputs(IDS, torch.arange(5))
MOE = {**GROUPED, "num_experts_per_tok": 2}


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
    fresh = switches(random_hf(architecture))
    for model in (ungrouped, grouped):
        assert model.layers[0].projections.n_kv_heads == 2
        assert switches(model.hf) == fresh, "the model's own modules are not as they were"


def switches(hf: Any) -> dict[str, dict[str, int]]:
    """Numbers and booleans of every module, such as how many key heads an attention has."""
    skipped = ("training", "_is_hf_initialized")
    return {
        name: {k: v for k, v in vars(m).items() if isinstance(v, int) and k not in skipped}
        for name, m in hf.named_modules()
    }


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("mixtral", {**MOE, "num_local_experts": 4}),
        ("qwen3_moe", {**MOE, "num_experts": 4, "moe_intermediate_size": 16}),
        ("gemma3_text", {**GROUPED, "query_pre_attn_scalar": 8, "sliding_window": 4}),
        ("olmo3", {**GROUPED, "sliding_window": 4}),
        ("stablelm", GROUPED),
        ("starcoder2", GROUPED),
        ("cohere", GROUPED),
        ("cohere", {**GROUPED, "use_qk_norm": True}),
        ("cohere2", {**GROUPED, "sliding_window": 4}),
        ("gpt_bigcode", {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64}),
        ("gpt_oss", {**MOE, "num_local_experts": 4, "sliding_window": 4}),
        ("opt", {**OPT, "layer_norm_elementwise_affine": False, "enable_bias": False}),
        ("olmo", NEOX),
    ],
)
def test_further_architectures_pass_all_checks(kind: str, config: dict[str, Any]) -> None:
    """Models with routed experts too: the router is part of the MLP's node."""
    hf = random_hf_of(kind, **config)
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


@pytest.mark.parametrize(
    ("changes", "n_kv_heads", "parallel"),
    [
        ({"multi_query": True}, 1, True),  # Falcon 7B
        ({"multi_query": True, "parallel_attn": False}, 1, False),
        ({"multi_query": False, "num_kv_heads": 4, "parallel_attn": False, "bias": True}, 4, False),
        ({"new_decoder_architecture": True, "num_ln_in_parallel_attn": 1}, 2, True),  # Falcon 2
    ],
)
@pytest.mark.parametrize("kv_heads", ["ungrouped", "grouped"])
def test_falcons_come_in_four_layouts(
    changes: dict[str, Any], n_kv_heads: int, parallel: bool, kv_heads: str
) -> None:
    hf = random_hf("falcon", **{"new_decoder_architecture": False, **changes}).double()
    model = take_apart(hf, kv_heads=kv_heads)  # type: ignore[arg-type]
    reference = Reference(hf, kv_heads)
    assert model.graph.parallel == reference.parallel == parallel
    assert model.graph.n_kv_heads == (n_kv_heads if kv_heads == "grouped" else 4)
    with exact_float64(), torch.no_grad():
        wanted = hf(IDS, use_cache=False).logits[:, -1]
        torch.testing.assert_close(reference.run(IDS)[0], wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2", "olmo", "gpt_neo", "falcon"])
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
    assert model.counts == {"forward": 1, "tokens": IDS.numel()}


def test_the_constructor_takes_apart_and_runs_nothing() -> None:
    """`take_apart` runs the checks, whose passes are not counted either."""
    hf = random_hf("gpt2")
    calls: list[Any] = []
    hf.register_forward_pre_hook(lambda *_: calls.append(1))
    CircuitModel(hf)
    assert not calls
    take_apart(hf)
    assert calls


def test_a_model_is_called_by_name_and_size() -> None:
    model = tiny_model("llama")
    text = f"CircuitModel(tiny-llama, 2 layers, {model.graph.n_heads} heads each, "
    assert repr(model) == f"{text}{model.graph.n_edges:,} edges)"
