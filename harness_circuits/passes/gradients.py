"""Runs with gradients at the input of every destination, or at the output of every source.

A head's query, key and value inputs are not materialised: that would be three copies of the
residual stream per head. What is kept is the gradient at the projected query, key and value, and
the two quantities per position that the Jacobian of the norm before them needs. With
`y = norm(x)`, `q = W y` and the folded `W'` of `Norm.fold`,

    d metric / d x = W'^T g / s  -  (x_hat / (s d)) <g, W' x_hat>,      g = d metric / d q,

where s is the norm's scale, x_hat the normalised input and d the width. The first term is linear
in g / s, so runs of an integration path add up before they meet the weights; the second is one
number per head and position times x_hat (`harness_circuits.passes.contract`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.models.attention_core import PerHead
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.passes.native import NativeRun, Residual, Tapped

MetricFunction = Callable[[Float[Tensor, "batch read vocab"]], Float[Tensor, "batch"]]
RunType = Callable[..., NativeRun]


@dataclass
class RankOne:
    """One run's norm correction in one layer: `direction` [token, model], `factor` [token, dst]."""

    direction: Float[Tensor, "token model"]
    factor: Float[Tensor, "token dst"]


@dataclass
class DestinationGradients:
    """Gradients of the summed metric at every destination's input, added up over weighted runs.

    Layers that the runs skipped are missing; the gradients there are not known.

    Attributes:
        scaled: Per layer and kind, g / s [token, head, d_head], heads as in the graph.
        corrections: Per layer, the norm correction of every run.
        mlp_in: Per layer [token, model].
        final: [token, model], the logits' input.
        frozen_norms: The runs treated the scales of norms as constants.
    """

    scaled: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    corrections: dict[int, list[RankOne]] = field(default_factory=dict)
    mlp_in: dict[int, Tensor] = field(default_factory=dict)
    final: Tensor | None = None
    frozen_norms: bool = False


@dataclass
class OutputGradients:
    """Gradients at every source's output, added up over weighted runs.

    Attributes:
        embedded: [batch, pos, model].
        attention: Per layer, at the sum of the heads' results (the same for each of them).
        mlp: Per layer.
    """

    embedded: Residual
    attention: dict[int, Residual]
    mlp: dict[int, Residual]


@dataclass(frozen=True)
class GradientPass:
    """One run with gradients: tapped values, their gradients, that of the start, the metric.

    The start is the input of the first block that was run.
    """

    seen: Tapped
    gradients: Tapped
    start_gradient: Residual
    metric: Float[Tensor, "batch"]
    frozen_norms: bool = False

    def row_groups(self, n: int) -> list[GradientPass]:
        """The pass as n passes over equally many rows each, as views."""

        def split(tapped: Tapped) -> list[Tapped]:
            parts = {p: {i: t.chunk(n) for i, t in at.items()} for p, at in tapped.at.items()}
            return [
                Tapped({p: {i: t[part] for i, t in at.items()} for p, at in parts.items()})
                for part in range(n)
            ]

        columns = split(self.seen), split(self.gradients)
        rows = self.start_gradient.chunk(n), self.metric.chunk(n)
        return [GradientPass(*own, self.frozen_norms) for own in zip(*columns, *rows, strict=True)]


DESTINATION_POINTS = ("block_in", "q", "k", "v", "mlp_in", "final")
OUTPUT_POINTS = ("attention", "mlp")


def run_with_gradients(
    model: CircuitModel,
    inputs: Inputs,
    metric: MetricFunction,
    points: tuple[str, ...],
    start: Residual | None = None,
    *,
    keep: tuple[str, ...] = (),
    run_type: RunType = NativeRun,
) -> GradientPass:
    """Run, from a given first residual if there is one, and differentiate the summed metric.

    Args:
        model: The model.
        inputs: Tokens, mask and read positions.
        metric: Metric per example from logits.
        points: Points to differentiate at (`block_in` is kept only).
        start: The first block's input; by default the embedded tokens.
        keep: Further points whose values are kept.
        run_type: How blocks are run, where a method changes the values or the backward pass.
    """
    run = run_type(model, {*points, *keep, "block_in"}, start, differentiable=True)
    with torch.enable_grad():
        values = metric(model.forward(inputs, run))
        leaf = next(iter(run.seen["block_in"].values()))
        wanted = [point for point in points if point != "block_in"]
        tensors = [tensor for point in wanted for tensor in run.seen[point].values()]
        found = torch.autograd.grad(values.sum(), [leaf, *tensors], allow_unused=True)
    model.counts["backward"] += 1
    filled = [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip([leaf, *tensors], found, strict=True)
    ]
    flat = iter(filled[1:])
    gradients = Tapped({p: {layer: next(flat) for layer in run.seen[p]} for p in wanted})
    detached = {p: {i: t.detach() for i, t in layers.items()} for p, layers in run.seen.at.items()}
    return GradientPass(Tapped(detached), gradients, filled[0], values.detach(), run.frozen_norms)


def add_destination_gradients(
    total: DestinationGradients, model: CircuitModel, run: GradientPass, weight: float
) -> None:
    """Add one run's gradients, times a weight, to a total that starts empty."""
    total.frozen_norms = run.frozen_norms
    for index in run.seen["block_in"]:
        scaled, correction = _attention_gradients(model, index, run, weight)
        mlp = run.gradients["mlp_in"][index].flatten(0, 1) * weight
        if index not in total.scaled:
            total.scaled[index] = scaled
            total.corrections[index] = correction
            total.mlp_in[index] = mlp
        else:
            for kind, value in scaled.items():
                total.scaled[index][kind] += value
            total.corrections[index] += correction
            total.mlp_in[index] += mlp
    last = run.gradients["final"][model.graph.n_layers - 1].flatten(0, 1) * weight
    total.final = last if total.final is None else total.final + last


def _attention_gradients(
    model: CircuitModel, index: int, run: GradientPass, weight: float
) -> tuple[dict[str, Tensor], list[RankOne]]:
    layer, dtype = model.layers[index], model.sum_dtype
    heads = {"q": model.graph.n_heads, "k": model.graph.n_kv_heads, "v": model.graph.n_kv_heads}
    gradients = {
        kind: _per_destination(run.gradients[kind][index].to(dtype), n) * weight
        for kind, n in heads.items()
    }
    if layer.norm is None:
        return gradients, []
    x = run.seen["block_in"][index].flatten(0, 1).to(dtype)
    inverse = layer.norm.inverse_scale(x)
    if run.frozen_norms:
        return {kind: g * inverse.unsqueeze(-1) for kind, g in gradients.items()}, []
    factors = []
    for kind, n in heads.items():
        value = run.seen[kind][index].to(dtype)
        bias = layer.folded[kind][1]
        if bias is not None:
            bias = bias.to(value.device)
            value = value - bias.repeat_interleave(value.shape[2] // bias.shape[0], dim=0)
        product = (run.gradients[kind][index].to(dtype) * value).sum(-1, keepdim=True)
        factors.append(_per_destination(product, n).squeeze(-1))
        gradients[kind] *= inverse.unsqueeze(-1)
    direction = x - x.mean(-1, keepdim=True) if layer.norm.centred else x.clone()
    direction *= inverse.square() * (weight / x.shape[-1])
    return gradients, [RankOne(direction, torch.cat(factors, dim=1))]


def _per_destination(x: PerHead, heads: int) -> Float[Tensor, "token head d_head"]:
    """Flatten batch and positions; add up query heads that share a key or value destination."""
    x = x.flatten(0, 1)
    return x if x.shape[1] == heads else x.unflatten(1, (heads, -1)).sum(2)


def add_output_gradients(
    total: OutputGradients | None, model: CircuitModel, run: GradientPass, weight: float
) -> OutputGradients:
    """Return a total (None to start with) with one run's gradients, times a weight, added."""
    attention = {layer: g * weight for layer, g in run.gradients["attention"].items()}
    mlp = {layer: g * weight for layer, g in run.gradients["mlp"].items()}
    embedded = run.start_gradient * weight
    if total is None:
        return OutputGradients(embedded, attention, mlp)
    return OutputGradients(
        total.embedded + embedded,
        {layer: total.attention[layer] + g for layer, g in attention.items()},
        {layer: total.mlp[layer] + g for layer, g in mlp.items()},
    )
