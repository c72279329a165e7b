"""Clean runs in which one unit at a time is replaced, many units in one pass.

A pass repeats its inputs once per unit. Row by row, everything before the patched point is the
clean run, so blocks before it are skipped; everything after it follows. What is patched:

- `block_in`, `attention`, `mlp`: an output (of the input node, a head or an MLP), for all readers;
- `hidden`: a hidden unit of an MLP;
- `q`, `k`, `v`: the residual input of one head's query, key or value, for that reader alone;
- `mlp_in`, `final`: the residual input of an MLP or of the logits, for that reader alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.passes.native import HIDDEN, NativeRun, Residual, Tapped


@dataclass(frozen=True)
class Patch:
    """What one pass changes.

    Attributes:
        layer: The layer of the patched point.
        points: One point per unit, those of one kind next to each other.
        heads: For `q`, `k` and `v`, the destination's head, per unit.
        change: What is added there, per unit.
    """

    layer: int
    points: tuple[str, ...]
    heads: tuple[int, ...]
    change: Float[Tensor, "unit batch pos width"]


@torch.no_grad()
def run_patched(
    model: CircuitModel, inputs: Inputs, clean: Tapped, patch: Patch
) -> Float[Tensor, "unit batch read vocab"]:
    """Logits of the clean prompts with each unit patched in turn.

    Args:
        model: The model.
        inputs: The clean prompts.
        clean: Their recorded `block_in`.
        patch: Which units, and how.
    """
    n_units = len(patch.points)
    run = _PatchedRun(model, clean["block_in"][patch.layer], patch)
    logits: Tensor = model.forward(inputs.repeated(n_units), run).unflatten(0, (n_units, -1))
    model.counts["patched"] += n_units
    return logits


class _PatchedRun(NativeRun):
    """The layer function of one pass."""

    def __init__(self, model: CircuitModel, start: Residual, patch: Patch) -> None:
        n_units = len(patch.points)
        super().__init__(model, (), start.repeat(n_units, 1, 1), first=patch.layer)
        self.patch = patch
        self.taps_hidden = HIDDEN in patch.points
        self.x = start

    def tap(self, point: str, layer: int, tensor: Tensor) -> Tensor:
        """Patch what is to be patched here."""
        if layer != self.patch.layer or point not in self.patch.points:
            return tensor
        if point in ("q", "k", "v"):
            return self._with_patched_heads(point, tensor)
        n_units, first = len(self.patch.points), self.patch.points.index(point)
        units = slice(first, first + self.patch.points.count(point))
        if units == slice(0, n_units):
            return tensor + self.patch.change.flatten(0, 1)
        tensor = tensor.clone(memory_format=torch.contiguous_format)
        tensor.unflatten(0, (n_units, -1))[units] += self.patch.change[units]
        return tensor

    def _with_patched_heads(self, kind: str, tensor: Tensor) -> Tensor:
        """Queries, keys or values in which each unit's head read a changed residual."""
        layer, graph = self.model.layers[self.patch.layer], self.model.graph
        weight, bias = layer.folded[kind]
        n_dst = graph.n_heads if kind == "q" else graph.n_kv_heads
        width = graph.n_heads // n_dst
        tensor = tensor.clone(memory_format=torch.contiguous_format)
        rows = tensor.unflatten(0, (len(self.patch.points), -1))
        for unit, (point, head) in enumerate(zip(self.patch.points, self.patch.heads, strict=True)):
            if point != kind:
                continue
            x = self.x + self.patch.change[unit]
            own = head * weight.shape[0] // n_dst  # the model may share key and value heads
            value = x @ weight[own].T.to(x.device)
            if layer.norm is not None:
                value = value * layer.norm.inverse_scale(x).to(value.dtype)
            if bias is not None:
                value = value + bias[own].to(x.device)
            rows[unit, :, :, head * width : (head + 1) * width] = value.unsqueeze(2)
        return tensor
