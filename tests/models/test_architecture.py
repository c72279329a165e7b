"""Which models are refused, and why."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.tiny_models import (
    GPT2,
    GROUPED,
    NEOX,
    OPT,
    random_hf_of,
)

from harness_circuits.errors import UnsupportedModelError
from harness_circuits.loading.load import take_apart
from harness_circuits.models.circuit_model import Inputs

IDS = torch.tensor([[3, 14, 15, 9, 26], [2, 7, 18, 28, 18]])
INPUTS = Inputs(IDS, torch.arange(5))
MOE = {**GROUPED, "num_experts_per_tok": 2}


def refusal(model: Any, **options: Any) -> str:
    with pytest.raises(UnsupportedModelError) as error:
        take_apart(model, **options)
    return str(error.value)


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
            "BloomForCausalLM cannot be used: its attention is biased by the distance of places in "
            "the sequence (ALiBi)",
        ),
        ("mpt", {"d_model": 32, "n_heads": 4, "n_layers": 2}, "(ALiBi)"),
        ("falcon", {**NEOX, "alibi": True}, "(ALiBi)"),
        (
            "granite",
            {**GROUPED, "residual_multiplier": 0.5},
            "GraniteForCausalLM cannot be used: it scales what its blocks add to the residual "
            "stream (residual_multiplier=0.5)",
        ),
        (
            "codegen",
            {**GPT2, "rotary_dim": 4},
            "CodeGenForCausalLM) cannot be used: its nodes do not add up to the model. Relative "
            "difference",
        ),
    ],
)
def test_other_structures_are_refused_with_the_reason(
    kind: str, config: dict[str, Any], reason: str
) -> None:
    hf = random_hf_of(kind, **config)
    with torch.no_grad():
        before = hf(IDS, use_cache=False).logits if kind != "mamba" else None
    assert reason in refusal(hf)
    if before is not None:
        with torch.no_grad():
            assert torch.equal(hf(IDS, use_cache=False).logits, before), "the model was changed"
