"""The model as it is, block by block, with a tap wherever a pass wants to look.

Points, with shapes: `block_in` [batch, pos, model] (the residual before the attention's norm),
`q`, `k`, `v` and `mixed` [batch, pos, head, d_head], `attention` [batch, pos, model] (sum of the
heads' results with the output bias, before a post-norm), `mlp_in` (the residual before the MLP's
norm), `hidden` [batch, pos, d_mlp] (its hidden units), `mlp` (its contribution, after a post-norm),
`final` (the residual before the final norm).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.circuits.scores import HIDDEN_UNITS
from harness_circuits.errors import OptionError
from harness_circuits.models.attention_core import PerHead
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.models.hidden import Hidden

Residual = Float[Tensor, "batch pos model"]

OUTPUTS = ("block_in", "mixed", "mlp")  # what source nodes are made of
HIDDEN = "hidden"


@dataclass
class Tapped:
    """Tensors seen at the points of one run, per layer."""

    at: dict[str, dict[int, Tensor]] = field(default_factory=dict)

    def __getitem__(self, point: str) -> dict[int, Tensor]:
        return self.at[point]


@dataclass(frozen=True)
class Outputs:
    """Outputs of all source nodes in one run, or what replaces them.

    Attributes:
        embedded: The input node [batch, pos, model], without learned position embeddings.
        mixed: Per layer, the heads' mixed values; a head's output is `mixed @ w_o[head]`.
        mlp: Per layer, the MLP's contribution.
        hidden: Per layer, the MLP's hidden units; None where nobody asked for them.

    All may have size 1 in `batch` (and `pos`) where every example gets the same.
    """

    embedded: Residual
    mixed: list[PerHead]
    mlp: list[Residual]
    hidden: list[Hidden] | None = None


class NativeRun:
    """The layer function of an ordinary run that keeps what was asked for.

    Attributes:
        frozen_norms: Whether the backward pass treats the scales of norms as constants.
        taps_hidden: Whether `tap` is shown hidden units.
    """

    frozen_norms = False

    def __init__(
        self,
        model: CircuitModel,
        points: Collection[str],
        start: Residual | None = None,
        *,
        differentiable: bool = False,
        first: int = 0,
    ) -> None:
        """Prepare one run.

        Args:
            model: The model.
            points: Points to keep.
            start: Replaces the first block's input.
            differentiable: Make the first block's input a leaf that gradients reach.
            first: The first block: those before it are skipped, and `start` must be given.
        """
        self.model = model
        self.start = start
        self.first = first
        self.differentiable = differentiable
        wanted = {*points, HIDDEN} if model.keeps_hidden and {*OUTPUTS} <= {*points} else {*points}
        self.seen = Tapped({point: {} for point in wanted})
        self.taps_hidden = HIDDEN in wanted

    def tap(self, point: str, layer: int, tensor: Tensor) -> Tensor:
        """Keep a tensor if its point was asked for, and return what the run goes on with."""
        if point in self.seen.at:
            if point == "mlp_in" and tensor.requires_grad:
                tensor = tensor.view_as(tensor)  # so that its gradient is that of the MLP alone
            self.seen[point][layer] = tensor
        return tensor

    def attend(
        self, layer: int, q: PerHead, k: PerHead, v: PerHead, arguments: dict[str, Any]
    ) -> PerHead:
        """Mix the values of a layer's heads."""
        return self.model.layers[layer].core(q, k, v, arguments)

    def __call__(self, index: int, x: Residual, arguments: dict[str, Any]) -> Residual:
        """Run one block."""
        layer = self.model.layers[index]
        if index < self.first:
            return x
        if index == self.first:
            x = x if self.start is None else self.start
            x = x.detach().clone().requires_grad_(True) if self.differentiable else x
        x = self.tap("block_in", index, x)
        q, k, v = (
            self.tap(kind, index, value)
            for kind, value in zip("qkv", layer.project(x), strict=True)
        )
        mixed = self.tap("mixed", index, self.attend(index, q, k, v, arguments))
        attention = self.tap("attention", index, layer.attention_sum(mixed))
        mid = x + layer.after_attention(attention)
        mlp_in = self.tap("mlp_in", index, x if self.model.graph.parallel else mid)
        hidden = partial(self.tap, HIDDEN, index) if self.taps_hidden else None
        x = mid + self.tap("mlp", index, layer.mlp_out(mlp_in, hidden))
        if index == self.model.graph.n_layers - 1:
            x = self.tap("final", index, x)
        return x


def record(
    model: CircuitModel, inputs: Inputs, points: Collection[str] = OUTPUTS
) -> tuple[Tapped, Float[Tensor, "batch read vocab"]]:
    """Run the model without gradients and return what its points held, and the logits."""
    run = NativeRun(model, points)
    with torch.no_grad():
        logits = model.forward(inputs, run)
    return run.seen, logits


def outputs_of(model: CircuitModel, inputs: Inputs, seen: Tapped) -> Outputs:
    """Collect the source outputs of a recorded run."""
    start = seen["block_in"][0]
    layers = range(model.graph.n_layers)
    return Outputs(
        embedded=start - model.position_embedding(inputs, start),
        mixed=[seen["mixed"][layer] for layer in layers],
        mlp=[seen["mlp"][layer] for layer in layers],
        hidden=[seen[HIDDEN][layer] for layer in layers] if HIDDEN in seen.at else None,
    )


def source_outputs(model: CircuitModel, inputs: Inputs) -> Outputs:
    """Run the model for the source outputs alone: what reads the last residual is left out."""
    seen, _ = record(model, inputs.unread())
    return outputs_of(model, inputs, seen)


def zero_outputs(model: CircuitModel, n_pos: int) -> Outputs:
    """Zero outputs of all sources, of batch size 1."""
    graph, layer = model.graph, model.layers[0]
    hidden = graph.d_mlp if model.keeps_hidden else None
    like, shape = model.hf.get_input_embeddings().weight.new_zeros, (1, n_pos)
    return Outputs(
        like((*shape, graph.d_model)),
        [like((*shape, graph.n_heads, layer.d_head)) for _ in model.layers],
        [like((*shape, graph.d_model)) for _ in model.layers],
        None if hidden is None else [like((*shape, hidden)) for _ in model.layers],
    )


def hidden_of(outputs: Outputs) -> list[Hidden]:
    """The hidden units among outputs.

    Raises:
        OptionError: What replaces outputs says nothing of hidden units.
    """
    if outputs.hidden is None:
        raise OptionError(
            f"level={HIDDEN_UNITS}: the ablation has nothing for hidden units of MLPs. Make it with "
            f"model.at({HIDDEN_UNITS!r}), or use another, such as patching."
        )
    return outputs.hidden
