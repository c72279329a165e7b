"""Layer-wise relevance propagation by a changed backward pass (RelP, arXiv 2508.21258).

Inside `relevance_rules` the forward pass is what it always is, to the bit, but gradients follow
rules that share the metric out among the parts it is made of (a run without gradients has none):

- LN rule: the scale of every norm is a constant, so that norms are linear.
- Identity rule: an activation is x times the constant act(x) / x.
- Half rule: of the product in a gated MLP, each factor gets half (or another share).

The rule for attention (patterns are constants) is in `RelevanceRun`. Each rule is a hook on a
module of the model; leaving the context removes them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness_circuits.errors import UnsupportedModelError
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.models.layer import Layer
from harness_circuits.models.norms import Norm, read_norm
from harness_circuits.passes.native import NativeRun, Residual


@dataclass(frozen=True)
class Rules:
    """Which rules hold.

    Attributes:
        norms: LN rule.
        activations: Identity rule.
        product_scale: What each factor's gradient is multiplied by: a half, or 1 for no rule.
    """

    norms: bool = True
    activations: bool = True
    product_scale: float = 0.5


class RelevanceRun(NativeRun):
    """An ordinary run whose attention patterns may be constants to the backward pass."""

    def __init__(
        self,
        model: CircuitModel,
        points: Collection[str],
        start: Residual | None = None,
        *,
        differentiable: bool = False,
        frozen_norms: bool = False,
        frozen_patterns: bool = False,
    ) -> None:
        """Prepare one run; arguments as in `NativeRun`, and what is taken as constant."""
        super().__init__(model, points, start, differentiable=differentiable)
        self.frozen_norms = frozen_norms
        self.frozen_patterns = frozen_patterns

    def tap(self, point: str, layer: int, tensor: Tensor) -> Tensor:
        """Keep a tensor as in any run; cut queries and keys off where patterns are constant."""
        tensor = super().tap(point, layer, tensor)
        return tensor.detach() if self.frozen_patterns and point in ("q", "k") else tensor


@contextmanager
def relevance_rules(model: CircuitModel, rules: Rules, method: str = "RelP") -> Iterator[None]:
    """Within this context, gradients through the model's modules follow the rules.

    Args:
        model: The model.
        rules: Which rules hold.
        method: What messages call the method that they are for.

    Raises:
        UnsupportedModelError: A rule has no meaning for one of the model's modules.
    """
    norms = _norms(model) if rules.norms else []
    mlps = [read_mlp(layer, model.name, method) for layer in model.layers]
    scaled = _Scaled(rules.product_scale)
    with ExitStack() as stack:
        for norm in norms:
            stack.enter_context(_hooked(norm.module.register_forward_hook(_LinearNorm(norm))))
        for mlp in mlps:
            for activation in mlp.activations if rules.activations else ():
                stack.enter_context(_hooked(activation.register_forward_hook(_scaled_identity)))
            if mlp.gated and rules.product_scale != 1:
                stack.enter_context(_hooked(mlp.out.register_forward_pre_hook(scaled)))
        yield


@contextmanager
def _hooked(handle: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def with_gradient_of(value: Tensor, stand_in: Tensor) -> Tensor:
    """The value, whose gradient is that of another tensor."""
    return value.detach() + (stand_in - stand_in.detach())


class _LinearNorm:
    """Hook that makes a norm linear: its scale is that of the detached input."""

    def __init__(self, norm: Norm) -> None:
        self.norm = norm

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        if not output.requires_grad:
            return output
        x = inputs[0].to(output.device)
        scale = self.norm.inverse_scale(x.detach())
        if self.norm.centred:
            x = x - x.mean(-1, keepdim=True)
        return with_gradient_of(output, (x * scale * self.norm.gain).to(output.dtype))


def _scaled_identity(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    """Hook that makes an activation its input times a constant, act(x) / x."""
    x = inputs[0]
    if not output.requires_grad:
        return output
    tiny = torch.finfo(x.dtype).eps
    with torch.no_grad():
        at_zero = module.forward(torch.full_like(x[:1], tiny)) / tiny
        ratio = torch.where(x.abs() < tiny, at_zero, output / x)
    return with_gradient_of(output, x * ratio)


class _Scaled:
    """Hook on the projection behind a product: each factor gets a share of the gradient."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        if not inputs[0].requires_grad:
            return inputs
        return (with_gradient_of(inputs[0], inputs[0] * self.scale), *inputs[1:])


@dataclass(frozen=True)
class Mlp:
    """The parts of an MLP that the rules act on.

    Attributes:
        activations: Its activation modules.
        out: The projection back to the residual stream.
        gated: Whether `out` reads the product of an activated gate and a second projection.
    """

    activations: list[nn.Module]
    out: nn.Module
    gated: bool


def read_mlp(layer: Layer, name: str, method: str = "RelP") -> Mlp:
    """Take an MLP apart, for the rules of a method.

    Raises:
        UnsupportedModelError: It is not made of an activation and two or three projections.
    """
    children = list(layer.mlp.children())
    projections = [child for child in children if _is_matrix(child)]
    others = [child for child in children if not _is_matrix(child)]
    plain = [child for child in others if not list(child.parameters())]
    activations = [m for m in plain if not isinstance(m, (nn.Dropout, nn.Identity))]
    if len(plain) != len(others) or len(activations) != 1 or len(projections) not in (2, 3):
        raise UnsupportedModelError(
            f"method={method} cannot be used with {name}: its rules are for MLPs of two or three "
            f"projections around one activation, and {type(layer.mlp).__name__} has "
            f"{[type(child).__name__ for child in children]}. Use another method, such as EAP."
        )
    out = projections[-1]
    width_in, width_out = (max(_weight(m).shape) for m in (projections[0], out))
    return Mlp(activations, out, gated=len(projections) == 3 or width_in == 2 * width_out)


def _is_matrix(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


def _norms(model: CircuitModel) -> list[Norm]:
    """All norms of a run, each once (a block's attention and MLP may share one)."""
    found = {id(model.final_norm.module): model.final_norm}
    for index, layer in enumerate(model.layers):
        for known in (layer.norm, layer.post_attention):
            if known is not None:
                found.setdefault(id(known.module), known)
        inside = layer.core.module._modules.items()
        named = {key: m for key, m in inside if _is_norm_name(key)}
        named |= {"before MLP": layer.pre_mlp, "after MLP": layer.post_mlp}
        for key, module in named.items():
            if module is None or id(module) in found:
                continue
            weight = getattr(module, "weight", None)
            width = weight.numel() if isinstance(weight, Tensor) else layer.graph.d_model
            like = layer.w_o
            found[id(module)] = read_norm(module, width, f"{key} of layer {index}", like)
    return list(found.values())


def _is_norm_name(name: str) -> bool:
    return "norm" in name or name.endswith("_ln")
