"""Tiny random models of every supported architecture, and token pairs for them."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from harness_circuits.loading.load import take_apart
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.tokenise import TokenPair

VOCABULARY, D_MODEL, N_HEADS, N_LAYERS = 61, 32, 4, 2
GPT2 = {"n_embd": D_MODEL, "n_head": N_HEADS, "n_layer": N_LAYERS, "n_positions": 64}
NEOX = {
    "hidden_size": D_MODEL,
    "num_attention_heads": N_HEADS,
    "num_hidden_layers": N_LAYERS,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
OPT = {**NEOX, "ffn_dim": 48, "word_embed_proj_dim": D_MODEL}
GROUPED = {**NEOX, "num_key_value_heads": 2, "head_dim": D_MODEL // N_HEADS}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "gpt_neox": {**NEOX, "rotary_pct": 0.25, "use_parallel_residual": True},
    "phi": {**NEOX, "partial_rotary_factor": 0.5},
    "llama": GROUPED,
    "mistral": {**GROUPED, "sliding_window": 4},
    "qwen2": GROUPED,
    "qwen3": GROUPED,
    "gemma2": {
        **GROUPED,
        "query_pre_attn_scalar": 8,
        "attn_logit_softcapping": 3.0,
        "final_logit_softcapping": 6.0,
        "sliding_window": 4,
    },
    "olmo2": GROUPED,
    "olmo": {**GROUPED, "clip_qkv": 1.0},
    "gpt_neo": {
        "hidden_size": D_MODEL,
        "num_heads": N_HEADS,
        "num_layers": N_LAYERS,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 4,
    },
    "gptj": {**GPT2, "rotary_dim": 4},
    "opt": OPT,
    "phi3": {**GROUPED, "sliding_window": 4},
    "falcon": {**NEOX, "new_decoder_architecture": True, "num_kv_heads": 2},
}
ARCHITECTURES = tuple(CONFIGS)
GROUPED_ARCHITECTURES = tuple(
    name
    for name, config in CONFIGS.items()
    if {"num_key_value_heads", "num_kv_heads"} & set(config)
)


def random_hf(architecture: str, *, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """A HuggingFace model with weights large enough for attention and norms to matter."""
    config = AutoConfig.for_model(
        architecture, **{"vocab_size": VOCABULARY, **CONFIGS[architecture], **changes}
    )
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(config, name, 0)
    torch.manual_seed(seed)
    kernel = {"attn_implementation": "eager"} if architecture == "gemma2" else {}
    model = AutoModelForCausalLM.from_config(config, **kernel).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "ln_" in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
            else:
                parameter.copy_(torch.randn_like(parameter) * (0.6 / parameter.shape[-1] ** 0.25))
    return model


def random_hf_of(kind: str, **config: Any) -> Any:
    """A random model whose norms and biases are not at their initial values."""
    found = AutoConfig.for_model(kind, vocab_size=VOCABULARY, **config)
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


@cache
def tiny_model(
    architecture: str, *, kv_heads: str = "ungrouped", dtype: torch.dtype = torch.float64
) -> CircuitModel:
    """A checked model; shared between tests, which must not change it."""
    return take_apart(
        random_hf(architecture).to(dtype),
        kv_heads=kv_heads,  # type: ignore[arg-type]
        name=f"tiny-{architecture}",
    )


def token_pairs(
    n: int = 4, length: int = 6, *, seed: int = 1, n_changed: int = 2
) -> list[TokenPair]:
    """Pairs that differ at a few positions, with one right and one wrong answer token."""
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for index in range(n):
        clean = torch.randint(VOCABULARY, (length,), generator=generator)
        corrupted = clean.clone()
        at = torch.randperm(length, generator=generator)[:n_changed]
        corrupted[at] = (clean[at] + 1 + index) % VOCABULARY
        right, wrong = torch.randperm(VOCABULARY, generator=generator)[:2].tolist()
        pairs.append(
            TokenPair(
                tuple(clean.tolist()),
                tuple(corrupted.tolist()),
                ((right,), (wrong,)),
                (0,),
                (1,),
                index,
            )
        )
    return pairs


def token_batches(
    n: int = 4, length: int = 6, *, size: int | None = None, **how: Any
) -> list[Batch]:
    """The pairs of `token_pairs` as batches, one batch by default."""
    return make_batches(token_pairs(n, length, **how), size or n)
