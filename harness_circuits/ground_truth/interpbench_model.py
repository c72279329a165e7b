"""An InterpBench model as a GPT-2 model with the same logits and the same edges.

Models made from Tracr programs have no layer norm. Theirs is made the identity as in `builder`:
every number of the residual stream is stored a second time with the opposite sign, so that the mean
is zero, and the variance is lost beside an epsilon of 1e12. What nodes write and read is the same
vector in other coordinates, so that patched runs and edge scores are the original's.

Attention scores are divided by the original's scale, which is folded into queries. Where answers are
other symbols than tokens, they get token ids after the tokens'. One more id, `<unk>`, is for padding.
The unembedding's bias, which GPT-2 does not have, stands in a file of its own (see `add_unembedding`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from harness_circuits.errors import CircuitFileError, UnsupportedModelError
from harness_circuits.ground_truth.builder import EPSILON
from harness_circuits.ground_truth.interpbench import CaseConfig

UNEMBEDDING_FILE = "unembedding_bias.safetensors"
NEVER = -1e4  # logit of what is no answer
EXTRA_TOKENS = 1


def n_tokens(config: CaseConfig) -> int:
    """Token ids of the converted model: tokens, answers that are none, and one for padding."""
    return config.d_vocab + (config.d_vocab_out if config.own_outputs else 0) + EXTRA_TOKENS


def convert(config: CaseConfig, weights: Mapping[str, Tensor], where: str) -> GPT2LMHeadModel:
    """Build the model; its unembedding has a bias.

    Args:
        config: The case's configuration.
        weights: Its state dict.
        where: Its folder, for messages.

    Raises:
        CircuitFileError: A weight is missing or of another shape than the configuration says.
        UnsupportedModelError: It has norms, and heads whose widths do not add up to the stream's.
    """
    bare = config.normalization is None
    if not bare and config.n_heads * config.d_head != config.d_model:
        raise UnsupportedModelError(
            f"{where}: {config.n_heads} heads of width {config.d_head} in a stream of "
            f"{config.d_model} cannot be written as GPT-2 with layer norms."
        )
    d_head = config.d_head
    if bare:
        d_head = max(d_head, -(-2 * config.d_model // config.n_heads))
        d_head += d_head * config.n_heads % 2
    model = _empty(config, d_head * config.n_heads, EPSILON if bare else config.eps)
    writer = _Writer(model, config, weights, where)
    with torch.no_grad():
        writer.write()
    return model


def _empty(config: CaseConfig, width: int, epsilon: float) -> Any:
    model: Any = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=n_tokens(config),
            n_positions=config.n_ctx,
            n_embd=width,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            n_inner=config.d_mlp,
            activation_function=config.act_fn,
            layer_norm_epsilon=epsilon,
            scale_attn_weights=False,
            tie_word_embeddings=False,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=n_tokens(config) - 1,
            eos_token_id=n_tokens(config) - 1,
        )
    ).eval()
    model.lm_head.bias = nn.Parameter(torch.full((n_tokens(config),), NEVER))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "lm_head.bias":
                parameter.zero_()
    return model


class _Writer:
    """Copies weights by name into an empty model."""

    def __init__(
        self, model: Any, config: CaseConfig, weights: Mapping[str, Tensor], where: str
    ) -> None:
        self.model, self.config, self.weights, self.where = model, config, weights, where
        width, d_model = model.config.n_embd, config.d_model
        self.d_head = width // config.n_heads
        self.place = torch.zeros(d_model, width)  # from the original's stream to the model's
        index = torch.arange(d_model)
        self.place[index, index] = 1.0
        self.read = self.place.T.clone()
        if config.normalization is None:
            self.place[index, width // 2 + index] = -1.0
            self.read = self.place.T / 2

    def weight(self, name: str, *shape: int) -> Tensor:
        found = self.weights.get(name)
        if found is None or tuple(found.shape) != shape:
            what = "missing" if found is None else f"of shape {tuple(found.shape)}"
            raise CircuitFileError(
                f"{self.where}: the weight {name} is {what}; the configuration needs {shape}."
            )
        return found

    def write(self) -> None:
        config, body = self.config, self.model.transformer
        wide = config.d_model
        embedding = self.weight("embed.W_E", config.d_vocab, wide)
        body.wte.weight[: config.d_vocab] = embedding @ self.place
        body.wpe.weight.copy_(self.weight("pos_embed.W_pos", config.n_ctx, wide) @ self.place)
        for index, block in enumerate(body.h):
            name = f"blocks.{index}."
            self.attention(block.attn, f"{name}attn.")
            self.mlp(block.mlp, f"{name}mlp.")
            self.norm(block.ln_1, f"{name}ln1.")
            self.norm(block.ln_2, f"{name}ln2.")
        self.norm(body.ln_f, "ln_final.")
        first = config.d_vocab if config.own_outputs else 0
        answers = slice(first, first + config.d_vocab_out)
        unembedding = self.weight("unembed.W_U", wide, config.d_vocab_out)
        self.model.lm_head.weight[answers] = (self.read @ unembedding).T
        self.model.lm_head.bias[answers] = self.weight("unembed.b_U", config.d_vocab_out)

    def attention(self, module: Any, name: str) -> None:
        config, width = self.config, self.model.config.n_embd
        heads, wide, d_head = config.n_heads, config.d_model, config.d_head
        out = self.weight(f"{name}W_O", heads, d_head, wide)
        module.c_proj.bias.copy_(self.weight(f"{name}b_O", wide) @ self.place)
        for head in range(heads):
            own = slice(head * self.d_head, head * self.d_head + d_head)
            module.c_proj.weight[own] = out[head] @ self.place
            for number, kind in enumerate("QKV"):
                scale = config.scale if kind == "Q" else 1.0
                columns = slice(number * width + own.start, number * width + own.stop)
                weight = self.weight(f"{name}W_{kind}", heads, wide, d_head)[head]
                bias = self.weight(f"{name}b_{kind}", heads, d_head)[head]
                module.c_attn.weight[:, columns] = self.read @ weight / scale
                module.c_attn.bias[columns] = bias / scale

    def mlp(self, module: Any, name: str) -> None:
        wide, inner = self.config.d_model, self.config.d_mlp
        module.c_fc.weight.copy_(self.read @ self.weight(f"{name}W_in", wide, inner))
        module.c_fc.bias.copy_(self.weight(f"{name}b_in", inner))
        module.c_proj.weight.copy_(self.weight(f"{name}W_out", inner, wide) @ self.place)
        module.c_proj.bias.copy_(self.weight(f"{name}b_out", wide) @ self.place)

    def norm(self, module: Any, name: str) -> None:
        if self.config.normalization is None:
            module.weight.fill_(EPSILON**0.5)
        elif self.config.normalization == "LNPre":
            module.weight.fill_(1.0)
        else:
            module.weight.copy_(self.weight(f"{name}w", self.config.d_model))
            module.bias.copy_(self.weight(f"{name}b", self.config.d_model))


def save_converted(model: Any, folder: Path) -> None:
    """Write a converted model; the bias of its unembedding goes into a file of its own."""
    bias, model.lm_head.bias = model.lm_head.bias, None
    try:
        model.save_pretrained(folder)
    finally:
        model.lm_head.bias = bias
    save_file({"bias": bias.detach().clone()}, folder / UNEMBEDDING_FILE)


def add_unembedding(hf: Any, folder: Path) -> None:
    """Give a loaded model the bias of its unembedding, if its folder has one."""
    path = folder / UNEMBEDDING_FILE
    if path.is_file():
        bias = load_file(path)["bias"].to(hf.lm_head.weight)
        hf.lm_head.bias = nn.Parameter(bias, requires_grad=False)
