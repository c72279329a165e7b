"""One block of each architecture, read off its HuggingFace module for `reference_model`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ReferenceLayer:
    """One block: weights [head, d_head, model] (output [head, d_head, model]) and functions."""

    norm: Function
    weights: dict[str, tuple[Tensor, Tensor | None]]
    norm_q: Function
    norm_k: Function
    scale: float
    softcap: float | None
    window: int | None
    w_o: Tensor
    b_o: Tensor | None
    post_attention: Function | None
    mlp: Function


class LayerReader:
    """Reads norms, weights and functions of one model's blocks.

    Attributes:
        kind: The architecture, as its config calls it.
        n_heads: Query heads per block.
        n_kv: Key and value destinations per block.
    """

    def __init__(self, config: Any, kv_heads: str) -> None:
        self.config = config
        self.kind = str(config.model_type)
        self.n_heads = int(config.num_attention_heads)
        own = int(getattr(config, "num_key_value_heads", None) or self.n_heads)
        self.n_kv = own if kv_heads == "grouped" else self.n_heads
        self.repeat = self.n_kv // own

    def norm(self, module: nn.Module, repeat: int = 1) -> Function:
        weight: Any = module.weight
        if repeat > 1:  # a key norm as wide as all key heads, whose heads are repeated
            weight = (
                weight.unflatten(0, (self.n_kv // repeat, -1))
                .repeat_interleave(repeat, 0)
                .flatten()
            )
        if isinstance(module, nn.LayerNorm):
            bias, eps = module.bias, module.eps
            return lambda x: nn.functional.layer_norm(x, weight.shape, weight, bias, eps)
        gain = 1 + weight if self.kind == "gemma2" else weight
        eps = next(
            v for n in ("eps", "variance_epsilon") if (v := getattr(module, n, None)) is not None
        )
        return lambda x: x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * gain

    def layer(self, block: Any, index: int) -> ReferenceLayer:
        config, kind = self.config, self.kind
        attention = {"gpt2": "attn", "gpt_neox": "attention"}.get(kind, "self_attn")
        module = getattr(block, attention)
        weights, (w_o, b_o) = self._projections(module)
        d_head = w_o.shape[1]
        pairs: dict[str, Function] = {"q": lambda x: x, "k": lambda x: x}
        if kind == "qwen3":
            pairs = {"q": self.norm(module.q_norm), "k": self.norm(module.k_norm)}
        elif kind == "olmo2":  # over all heads at once
            wide = {"q": self.norm(module.q_norm), "k": self.norm(module.k_norm, self.repeat)}
            pairs = {n: lambda x, f=f: f(x.flatten(-2)).view_as(x) for n, f in wide.items()}
        types = getattr(config, "layer_types", None)
        slides = kind == "mistral" or (types is not None and types[index] == "sliding_attention")
        post = block.post_attention_layernorm if kind in ("gemma2", "olmo2") else None
        scalar = config.query_pre_attn_scalar if kind == "gemma2" else d_head
        return ReferenceLayer(
            norm=self._norm_before(block),
            weights=weights,
            norm_q=pairs["q"],
            norm_k=pairs["k"],
            scale=float(scalar) ** -0.5,
            softcap=config.attn_logit_softcapping if kind == "gemma2" else None,
            window=config.sliding_window if slides else None,
            w_o=w_o,
            b_o=b_o,
            post_attention=None if post is None else self.norm(post),
            mlp=self._mlp(block),
        )

    def _norm_before(self, block: Any) -> Function:
        if self.kind == "olmo2":
            return lambda x: x
        return self.norm(block.ln_1 if self.kind == "gpt2" else block.input_layernorm)

    def _mlp(self, block: Any) -> Function:
        if self.kind == "olmo2":
            post = self.norm(block.post_feedforward_layernorm)
            return lambda x: post(block.mlp(x))
        if self.kind == "gemma2":
            pre = self.norm(block.pre_feedforward_layernorm)
            post = self.norm(block.post_feedforward_layernorm)
            return lambda x: post(block.mlp(pre(x)))
        if self.kind == "phi":  # the norm of the attention
            return lambda x: block.mlp(self.norm(block.input_layernorm)(x))
        norm = self.norm(block.ln_2 if self.kind == "gpt2" else block.post_attention_layernorm)
        return lambda x: block.mlp(norm(x))

    def _projections(
        self, module: Any
    ) -> tuple[dict[str, tuple[Tensor, Tensor | None]], tuple[Tensor, Tensor | None]]:
        n, out = self.n_heads, {}
        if self.kind == "gpt2":
            w = module.c_attn.weight.T.unflatten(0, (3, n, -1)).unbind(0)
            b = module.c_attn.bias.unflatten(0, (3, n, -1)).unbind(0)
            w_o, b_o = module.c_proj.weight, module.c_proj.bias
        elif self.kind == "gpt_neox":
            w = module.query_key_value.weight.unflatten(0, (n, 3, -1)).unbind(1)
            b = module.query_key_value.bias.unflatten(0, (n, 3, -1)).unbind(1)
            w_o, b_o = module.dense.weight.T, module.dense.bias
        else:
            out_module = module.dense if self.kind == "phi" else module.o_proj
            w_o, b_o = out_module.weight.T, out_module.bias
            d_head = w_o.shape[0] // n
            parts = [module.q_proj, module.k_proj, module.v_proj]
            w = [p.weight.unflatten(0, (-1, d_head)) for p in parts]
            b = [None if p.bias is None else p.bias.unflatten(0, (-1, d_head)) for p in parts]
        for name, weight, bias in zip("qkv", w, b, strict=True):
            heads = n if name == "q" else self.n_kv
            times = heads // weight.shape[0]
            bias = None if bias is None else bias.repeat_interleave(times, 0)
            out[name] = (weight.repeat_interleave(times, 0), bias)
        return out, (w_o.unflatten(0, (n, -1)), b_o)
