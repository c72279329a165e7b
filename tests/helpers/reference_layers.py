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
    clip: float | None
    w_o: Tensor
    b_o: Tensor | None
    post_attention: Function | None
    mlp: Function


_ATTENTION = {
    "gpt2": "attn",
    "gptj": "attn",
    "gpt_neo": "attn.attention",
    "gpt_neox": "attention",
    "falcon": "self_attention",
}
_NORM_1 = {"gpt2": "ln_1", "gptj": "ln_1", "gpt_neo": "ln_1", "opt": "self_attn_layer_norm"}
_NORM_2 = {
    "gpt2": "ln_2",
    "gpt_neo": "ln_2",
    "opt": "final_layer_norm",
    "gptj": "ln_1",  # the norm of the attention
    "phi": "input_layernorm",
}
_OUT = {"phi": "dense", "gptj": "out_proj", "gpt_neo": "out_proj", "opt": "out_proj"}


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
        if self.kind == "falcon":
            many = config.new_decoder_architecture or not config.multi_query
            own = config.num_kv_heads if many else 1
        self.n_kv = own if kv_heads == "grouped" else self.n_heads
        self.repeat = self.n_kv // own

    def norm(self, module: nn.Module, repeat: int = 1) -> Function:
        if self.kind == "olmo":
            shape = (self.config.hidden_size,)
            return lambda x: nn.functional.layer_norm(x, shape, eps=1e-5)
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
        module = block.get_submodule(_ATTENTION.get(kind, "self_attn"))
        weights, (w_o, b_o) = self._projections(module)
        d_head = w_o.shape[1]
        pairs: dict[str, Function] = {"q": lambda x: x, "k": lambda x: x}
        if kind == "qwen3":
            pairs = {"q": self.norm(module.q_norm), "k": self.norm(module.k_norm)}
        elif kind == "olmo2":  # over all heads at once
            wide = {"q": self.norm(module.q_norm), "k": self.norm(module.k_norm, self.repeat)}
            pairs = {n: lambda x, f=f: f(x.flatten(-2)).view_as(x) for n, f in wide.items()}
        post = block.post_attention_layernorm if kind in ("gemma2", "olmo2") else None
        scalar = config.query_pre_attn_scalar if kind == "gemma2" else d_head
        return ReferenceLayer(
            norm=self._norm_before(block),
            weights=weights,
            norm_q=pairs["q"],
            norm_k=pairs["k"],
            scale=1.0 if kind == "gpt_neo" else float(scalar) ** -0.5,
            softcap=config.attn_logit_softcapping if kind == "gemma2" else None,
            window=self._window(index),
            clip=config.clip_qkv if kind == "olmo" else None,
            w_o=w_o,
            b_o=b_o,
            post_attention=None if post is None else self.norm(post),
            mlp=self._mlp(block),
        )

    def _norm_before(self, block: Any) -> Function:
        if self.kind == "olmo2":
            return lambda x: x
        return self.norm(getattr(block, self._first_norm()))

    def _first_norm(self) -> str:
        if self.kind == "falcon" and self.config.num_ln_in_parallel_attn == 2:
            return "ln_attn"
        return _NORM_1.get(self.kind, "input_layernorm")

    def _window(self, index: int) -> int | None:
        config = self.config
        if self.kind == "gpt_neo":
            return config.window_size if config.attention_layers[index] == "local" else None
        types = getattr(config, "layer_types", None)
        slides = types is not None and types[index] == "sliding_attention"
        return config.sliding_window if slides or self.kind in ("mistral", "phi3") else None

    def _mlp(self, block: Any) -> Function:
        if self.kind == "olmo2":
            post = self.norm(block.post_feedforward_layernorm)
            return lambda x: post(block.mlp(x))
        if self.kind == "gemma2":
            pre = self.norm(block.pre_feedforward_layernorm)
            post = self.norm(block.post_feedforward_layernorm)
            return lambda x: post(block.mlp(pre(x)))
        name = _NORM_2.get(self.kind, "post_attention_layernorm")
        if self.kind == "falcon" and self.config.parallel_attn:
            two = self.config.num_ln_in_parallel_attn == 2
            name = "ln_mlp" if two else "input_layernorm"
        norm = self.norm(getattr(block, name))
        if self.kind == "opt":
            return lambda x: block.fc2(block.activation_fn(block.fc1(norm(x))))
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
        elif self.kind == "phi3":
            own = self.n_kv // self.repeat
            w = module.qkv_proj.weight.unflatten(0, (n + 2 * own, -1)).split((n, own, own))
            b, w_o, b_o = [None] * 3, module.o_proj.weight.T, None
        elif self.kind == "falcon":
            w = self._falcon(module.query_key_value.weight)
            bias = module.query_key_value.bias
            b = [None] * 3 if bias is None else self._falcon(bias)
            w_o, b_o = module.dense.weight.T, module.dense.bias
        else:
            out_module = module.get_submodule(_OUT.get(self.kind, "o_proj"))
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

    def _falcon(self, fused: Tensor) -> list[Tensor]:
        """Per key head, the queries that share it, the key, the value: one after the other."""
        groups = self.n_kv // self.repeat
        rows = fused.unflatten(0, (groups, self.n_heads // groups + 2, -1))
        return [rows[:, :-2].flatten(0, 1), rows[:, -2], rows[:, -1]]
