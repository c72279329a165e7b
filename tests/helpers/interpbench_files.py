"""Cases in the form of InterpBench's hub repository, made here, and their arithmetic written out."""

from __future__ import annotations

import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CONFIG: dict[str, Any] = {
    "n_layers": 2,
    "n_heads": 4,
    "d_head": 3,
    "d_model": 12,
    "d_mlp": 20,
    "n_ctx": 8,
    "d_vocab": 6,
    "d_vocab_out": 3,
    "act_fn": "gelu",
    "normalization_type": None,
    "attention_dir": "causal",
    "positional_embedding_type": "standard",
    "use_attn_scale": True,
    "attn_only": False,
    "eps": 1e-5,
    "dtype": torch.float32,  # a pickle names it, as `torch float32`
    "device": "cuda",
    "tokenizer_name": None,
    "seed": 0,
}
EDGES = [
    ("hook_embed", "blocks.0.hook_q_input[1]"),
    ("hook_embed", "blocks.0.hook_v_input[1]"),
    ("hook_pos_embed", "blocks.0.hook_k_input[1]"),
    ("blocks.0.hook_q_input[1]", "blocks.0.attn.hook_q[1]"),
    ("blocks.0.attn.hook_q[1]", "blocks.0.attn.hook_result[1]"),
    ("blocks.0.attn.hook_result[1]", "blocks.1.hook_mlp_in"),
    ("blocks.1.hook_mlp_in", "blocks.1.hook_mlp_out"),
    ("blocks.1.hook_mlp_out", "blocks.1.hook_resid_post"),
]
OUR_EDGES = ["input->a0.h1<q>", "input->a0.h1<v>", "a0.h1->m1", "m1->logits"]


class HookedTransformerConfig:
    """Stands for TransformerLens' class; `as_object` pickles it under that name."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.__dict__.update(settings)


def as_object(settings: dict[str, Any], protocol: int = 4) -> bytes:
    """A pickle of TransformerLens' configuration object, whose class does not exist afterwards."""
    name = "transformer_lens_of_old"
    module: Any = types.ModuleType(name)
    kind: Any = type("HookedTransformerConfig", (HookedTransformerConfig,), {"__module__": name})
    module.HookedTransformerConfig = kind
    sys.modules[name] = module
    try:
        return pickle.dumps(kind(settings), protocol=protocol)
    finally:
        del sys.modules[name]


def weights(config: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """A state dict as TransformerLens names and shapes it, its buffers included."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 0.5

    heads, d_head, wide = config["n_heads"], config["d_head"], config["d_model"]
    found = {
        "embed.W_E": draw(config["d_vocab"], wide),
        "pos_embed.W_pos": draw(config["n_ctx"], wide),
        "unembed.W_U": draw(wide, config["d_vocab_out"]),
        "unembed.b_U": draw(config["d_vocab_out"]),
    }
    for layer in range(config["n_layers"]):
        name = f"blocks.{layer}."
        for kind in "QKV":
            found[f"{name}attn.W_{kind}"] = draw(heads, wide, d_head)
            found[f"{name}attn.b_{kind}"] = draw(heads, d_head)
        found[f"{name}attn.W_O"], found[f"{name}attn.b_O"] = draw(heads, d_head, wide), draw(wide)
        found[f"{name}attn.mask"] = torch.ones(8, 8).tril().bool()
        found[f"{name}attn.IGNORE"] = torch.tensor(-torch.inf)
        found[f"{name}mlp.W_in"] = draw(wide, config["d_mlp"])
        found[f"{name}mlp.b_in"] = draw(config["d_mlp"])
        found[f"{name}mlp.W_out"] = draw(config["d_mlp"], wide)
        found[f"{name}mlp.b_out"] = draw(wide)
        if config["normalization_type"] == "LN":
            for norm in ("ln1", "ln2"):
                found[f"{name}{norm}.w"], found[f"{name}{norm}.b"] = draw(wide) + 1, draw(wide)
    if config["normalization_type"] == "LN":
        found["ln_final.w"], found["ln_final.b"] = draw(wide) + 1, draw(wide)
    return found


def write_case(
    folder: Path,
    *,
    pickled: bytes | None = None,
    edges: Any = EDGES,
    **changes: Any,
) -> tuple[Path, dict[str, Any]]:
    """Write a case's four files; returns its folder and configuration."""
    config = {**CONFIG, **changes}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights(config), folder / "ll_model.pth")
    (folder / "ll_model_cfg.pkl").write_bytes(pickled or pickle.dumps(config))
    (folder / "edges.pkl").write_bytes(pickle.dumps(edges))
    (folder / "meta.json").write_text(json.dumps({"task": "made for a test"}))
    return folder, config


def logits(config: dict[str, Any], w: dict[str, Tensor], ids: Tensor) -> Tensor:
    """What the original computes, in float64: [batch, pos, d_vocab_out]."""
    w = {name: value.double() for name, value in w.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        if config["normalization_type"] is None:
            return x
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + config["eps"]).sqrt()
        return x * w[f"{name}.w"] + w[f"{name}.b"] if f"{name}.w" in w else x

    x = w["embed.W_E"][ids] + w["pos_embed.W_pos"][: ids.shape[1]]
    hidden = torch.ones(ids.shape[1], ids.shape[1]).triu(1).bool()
    for layer in range(config["n_layers"]):
        name = f"blocks.{layer}."
        y = norm(x, f"{name}ln1")
        q, k, v = (
            torch.einsum("bpm,hmd->bhpd", y, w[f"{name}attn.W_{kind}"])
            + w[f"{name}attn.b_{kind}"][:, None]
            for kind in "QKV"
        )
        scores = q @ k.mT / (config["d_head"] ** 0.5 if config["use_attn_scale"] else 1)
        pattern = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        out = torch.einsum("bhpd,hdm->bpm", pattern @ v, w[f"{name}attn.W_O"])
        x = x + out + w[f"{name}attn.b_O"]
        y = norm(x, f"{name}ln2") @ w[f"{name}mlp.W_in"] + w[f"{name}mlp.b_in"]
        act = torch.nn.functional.relu if config["act_fn"] == "relu" else torch.nn.functional.gelu
        x = x + act(y) @ w[f"{name}mlp.W_out"] + w[f"{name}mlp.b_out"]
    return norm(x, "ln_final") @ w["unembed.W_U"] + w["unembed.b_U"]
