"""Attention whose weights are given: the model's own attention, but for what its softmax returns.

The softmax is found where the model's attention calls it, whatever its kernel, by intercepting torch's
functions. Scale, soft caps, masks, windows and position embeddings are in the logits that it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from harness_circuits.errors import UnsupportedModelError
from harness_circuits.models.attention_core import PerHead
from harness_circuits.models.circuit_model import CircuitModel

Logits = Float[Tensor, "row head pos key"]


def attend_by(
    model: CircuitModel,
    layer: int,
    qkv: tuple[PerHead, PerHead, PerHead],
    arguments: dict[str, Any],
    weights: Callable[[Logits], Logits],
) -> PerHead:
    """Mix a layer's values by weights of one's own.

    Args:
        model: The model.
        layer: Which of its layers.
        qkv: Queries, keys and values, one per query head.
        arguments: What the model hands to the layer's attention.
        weights: From the logits of attention to the weights that values are mixed by.

    Raises:
        UnsupportedModelError: The attention calls no softmax over its keys, or several.
    """
    core = model.layers[layer].core
    with _Weighted(weights) as changed:
        mixed = core(*qkv, arguments)
    if changed.shapes != [(qkv[0].shape[1], qkv[1].shape[1])]:
        raise UnsupportedModelError(
            f"Crossing edges cannot be had of {model.name}: they are for attention that calls torch's "
            f"softmax or scaled_dot_product_attention once, over its keys and nothing else, and "
            f"{type(core.module).__name__} of layer {layer} does not. Load the model with "
            "attn_implementation=eager, or leave crossing=true out."
        )
    return mixed


def softmax(logits: Logits) -> Logits:
    """The softmax over keys; 0 in rows that see none."""
    unseen = (logits == -torch.inf).all(-1, keepdim=True)
    return logits.softmax(-1).masked_fill(unseen, 0)


def is_softmax(func: Any) -> bool:
    """Whether a function that torch calls is one of its softmaxes, looked up anew: some replace them."""
    return func in (functional.softmax, torch.softmax, Tensor.softmax)


class _Weighted(TorchFunctionMode):
    """Within this context, softmaxes return something else; `shapes` are those of their logits."""

    def __init__(self, weights: Callable[[Logits], Logits]) -> None:
        super().__init__()
        self.weights = weights
        self.shapes: list[tuple[int, ...]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            wide = torch.promote_types(args[0].dtype, torch.float32)
            q, k = (each.to(wide) for each in args[:2])
            logits, v = attention_logits(q, k, *args[2:], **kwargs)
            return self._of(logits).to(v.dtype) @ v
        if is_softmax(func):
            given, dtype = args[0], kwargs.get("dtype")
            return self._of(given if dtype is None else given.to(dtype))
        return func(*args, **kwargs)

    def _of(self, logits: Tensor) -> Tensor:
        self.shapes.append(tuple(logits.shape[-2:]))
        # What is not as expected is refused behind the attention.
        whole = logits.ndim == 4 and len(self.shapes) == 1 and logits.shape[-1] == logits.shape[-2]
        return self.weights(logits) if whole else logits


def attention_logits(
    q: Float[Tensor, "batch head pos d_head"],
    k: Float[Tensor, "batch head key d_head"],
    v: Float[Tensor, "batch head key d_head"],
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **_: Any,
) -> tuple[Logits, Float[Tensor, "batch head key d_head"]]:
    """The logits that scaled dot-product attention takes its softmax of, and its values."""
    assert dropout_p == 0 and k.shape[1] == q.shape[1]
    logits = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        seen = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).tril()
        logits = logits.masked_fill(~seen, -torch.inf)
    elif attn_mask is not None and attn_mask.dtype == torch.bool:
        logits = logits.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        logits = logits + attn_mask
    return logits, v
