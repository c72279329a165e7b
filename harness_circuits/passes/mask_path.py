"""Runs in which every unit is kept by the same share t: the straight line from nothing to the model.

Every destination reads

    input = terms of no node + sum over u of  [ t * output of u in this run + (1 - t) * replacement of u ]

With one t for all edges this is the same mixture for every destination, so that no input of its own
is formed: each source's output is mixed once, where it is made. At t = 1 it is the model, at t = 0 the
empty circuit, and the gradient by the share of one edge u -> v is

    < output of u - replacement of u,  d metric / d input of v >,

all in this run. Where heads pass a post-norm, their sum is mixed before it, as in circuits. At level
`mlp-neuron` the same is done with the hidden units of MLPs, and with nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.passes.native import (
    HIDDEN,
    OUTPUTS,
    NativeRun,
    Outputs,
    Residual,
    Tapped,
    hidden_of,
    outputs_of,
)


def mixed_points(model: CircuitModel) -> tuple[str, ...]:
    """What a path mixes."""
    return (HIDDEN,) if model.keeps_hidden else OUTPUTS


def own_points(model: CircuitModel) -> tuple[str, ...]:
    """Points of a run that hold its outputs as they were before they were mixed."""
    mixed = mixed_points(model)
    others = tuple(point for point in OUTPUTS if point not in mixed)
    return (*(f"own {point}" for point in mixed), *others)


class MaskPathRun(NativeRun):
    """A run of some prompts several times side by side, each time with a share of its own."""

    def __init__(
        self,
        model: CircuitModel,
        points: Collection[str],
        start: Residual | None = None,
        *,
        differentiable: bool = False,
        inputs: Inputs,
        replacement: Outputs,
        shares: Float[Tensor, "n"],
    ) -> None:
        """Prepare one run; arguments as in `NativeRun`, and what is mixed.

        Args:
            model: The model.
            points: Points to keep; `own_points` are those of outputs before they are mixed.
            start: None: the run starts from its prompts' embeddings, mixed.
            differentiable: Make the first block's (mixed) input a leaf that gradients reach.
            inputs: The prompts, once.
            replacement: What replaces every source's output.
            shares: The share t of each of the n times.
        """
        assert start is None
        super().__init__(model, points, differentiable=differentiable)
        self.inputs, self.replacement, self.shares = inputs, replacement, shares
        self.mixed, self.taps_hidden = mixed_points(model), model.keeps_hidden

    def __call__(self, index: int, x: Residual, arguments: dict[str, Any]) -> Residual:
        """Run one block."""
        if index == 0 and "block_in" in self.mixed:
            embedded = self.replacement.embedded
            position = self.model.position_embedding(self.inputs, embedded)
            x = self._mixed(super().tap("own block_in", 0, x), embedded + position)
        return super().__call__(index, x, arguments)

    def tap(self, point: str, layer: int, tensor: Tensor) -> Tensor:
        """Mix what is replaced with its replacement, and keep both if asked for."""
        if point in self.mixed and point != "block_in":
            own, outputs = super().tap(f"own {point}", layer, tensor), self.replacement
            replaced = hidden_of(outputs) if point == HIDDEN else getattr(outputs, point)
            tensor = self._mixed(own, replaced[layer])
        return super().tap(point, layer, tensor)

    def _mixed(self, own: Tensor, replacement: Tensor) -> Tensor:
        n = len(self.shares)
        shares = self.shares.to(own).view(n, *[1] * own.ndim)
        return torch.lerp(replacement, own.unflatten(0, (n, -1)), shares).flatten(0, 1)


def own_outputs(model: CircuitModel, inputs: Inputs, seen: Tapped) -> Outputs:
    """Source outputs of a run with one share, as they were before they were mixed.

    Args:
        model: The model.
        inputs: The prompts, once.
        seen: What the run kept; `own_points` among it.
    """
    points = {point.removeprefix("own "): seen[point] for point in own_points(model)}
    return outputs_of(model, inputs, Tapped(points))
