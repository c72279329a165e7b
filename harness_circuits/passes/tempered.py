"""Runs whose attention has a changed backward pass (GIM, arXiv 2505.17630); the forward is as ever.

- A softmax passes gradients on as one of higher temperature T would: with p = softmax(scores / T),
  `p * (g - <g, p>)`, without the factor 1 / T. A saturated softmax lets nothing through at T = 1.
- Queries and keys get a share of their gradient, values another: each factor of the products QK and
  AV is to get half, so that a query's share is a quarter.

The softmax is found where the model's own attention calls it, whatever its kernel, by intercepting
torch's functions; values are what these gave, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from harness_circuits.errors import UnsupportedModelError
from harness_circuits.models.attention_core import PerHead
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.attention_weights import attention_logits, is_softmax
from harness_circuits.passes.native import NativeRun, Residual
from harness_circuits.passes.relevance import with_gradient_of


class TemperedRun(NativeRun):
    """An ordinary run whose gradients pass attention by the rules above."""

    def __init__(
        self,
        model: CircuitModel,
        points: Collection[str],
        start: Residual | None = None,
        *,
        differentiable: bool = False,
        frozen_norms: bool = False,
        temperature: float = 2.0,
        scales: Mapping[str, float],
    ) -> None:
        """Prepare one run; arguments as in `NativeRun`, and the rules.

        Args:
            model: The model.
            points: Points to keep.
            start: Replaces the first block's input.
            differentiable: Make the first block's input a leaf that gradients reach.
            frozen_norms: The scales of norms are constants: `relevance_rules` has to hold.
            temperature: T of the backward pass; 1 is the model's own.
            scales: What gradients of `q`, `k` and `v` are multiplied by.
        """
        super().__init__(model, points, start, differentiable=differentiable)
        self.frozen_norms, self.temperature, self.scales = frozen_norms, temperature, scales

    def tap(self, point: str, layer: int, tensor: Tensor) -> Tensor:
        """Keep a tensor as in any run; what attention reads passes a share of its gradient on."""
        tensor = super().tap(point, layer, tensor)
        scale = self.scales.get(point, 1.0)
        return tensor if scale == 1 else with_gradient_of(tensor, tensor * scale)

    def attend(
        self, layer: int, q: PerHead, k: PerHead, v: PerHead, arguments: dict[str, Any]
    ) -> PerHead:
        """Mix values as the model does; its softmax has the changed backward pass."""
        if self.temperature == 1 or not q.requires_grad:
            return super().attend(layer, q, k, v, arguments)
        with _TemperedSoftmaxes(self.temperature) as changed:
            mixed = super().attend(layer, q, k, v, arguments)
        if changed.n != 1:
            module = type(self.model.layers[layer].core.module).__name__
            raise UnsupportedModelError(
                f"method=GIM cannot be used with {self.model.name}: its rule for the softmax is for "
                f"attention that calls torch's softmax or scaled_dot_product_attention once, and "
                f"{module} of layer {layer} does so {changed.n} times. Load the model with "
                "attn_implementation=eager, or leave the rule out with temperature=1."
            )
        return mixed


class _TemperedSoftmaxes(TorchFunctionMode):
    """Within this context, softmaxes have the changed backward pass; `n` counts them."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature, self.n = temperature, 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            self.n += 1
            with torch.no_grad():
                value = func(*args, **kwargs)
            return with_gradient_of(value, _attention(self.temperature, *args, **kwargs))
        if is_softmax(func):
            self.n += 1
            return _softmax(self.temperature, func, *args, **kwargs)
        return func(*args, **kwargs)


def _softmax(
    temperature: float,
    func: Any,
    scores: Tensor,
    dim: int,
    *rest: Any,
    dtype: torch.dtype | None = None,
    **how: Any,
) -> Tensor:
    with torch.no_grad():
        value = func(scores, dim, *rest, dtype=dtype, **how)
    return _tempered(scores.to(value.dtype), value, temperature, dim)


def _attention(temperature: float, *args: Any, **kwargs: Any) -> PerHead:
    """What the fused kernel computes, step by step, with the changed softmax."""
    logits, v = attention_logits(*args, **kwargs)
    return _tempered(logits, logits.detach().softmax(-1), temperature, -1) @ v


class _Tempered(torch.autograd.Function):
    """A softmax's value, whose gradient is that of temperature T times T."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, value: Tensor, temperature: float, dim: int) -> Tensor:
        ctx.dim = dim
        ctx.save_for_backward((scores / temperature).softmax(dim))
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None, None]:
        (gradient,), (p,) = gradients, ctx.saved_tensors
        along = (gradient * p).sum(ctx.dim, keepdim=True)
        return p * (gradient - along), None, None, None


_tempered: Callable[[Tensor, Tensor, float, int], Tensor] = _Tempered.apply
