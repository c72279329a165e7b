"""Constants that are being learned: one vector per node, in units of the size of where it starts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness_circuits.ablation.means import mapped
from harness_circuits.machine.ranks import Ranks
from harness_circuits.passes.native import Outputs


class Constants:
    """Constants and what changes them, in at least float32.

    Attributes:
        start: Where they start, of batch and position size 1.
    """

    def __init__(self, start: Outputs, rate: float) -> None:
        """Start.

        Args:
            start: Where to.
            rate: Of Adam, in units of the root mean square of each vector.
        """
        self.start = mapped(start, lambda x: x.to(torch.promote_types(x.dtype, torch.float32)))
        self._scales = [
            x.square().mean(-1, keepdim=True).sqrt().clamp(min=1e-6) for x in tensors_of(self.start)
        ]
        self._offsets = [torch.zeros_like(x).requires_grad_() for x in tensors_of(self.start)]
        self._optimiser = torch.optim.Adam(self._offsets, lr=rate)

    def now(self) -> Outputs:
        """Where they are, differentiable in what is learned."""
        parts = zip(tensors_of(self.start), self._offsets, self._scales, strict=True)
        return _outputs([start + offset * scale for start, offset, scale in parts])

    def change(self, loss: Tensor, ranks: Ranks) -> None:
        """Follow the gradient of a loss of `now`, of which each process has its share."""
        found = torch.autograd.grad(loss, self._offsets, allow_unused=True)
        for offset, gradient in zip(self._offsets, found, strict=True):
            own = torch.zeros_like(offset) if gradient is None else gradient
            offset.grad = ranks.sum_(own)
        self._optimiser.step()


def tensors_of(outputs: Outputs) -> list[Tensor]:
    """What constants consist of: the input, heads and MLPs."""
    return [outputs.embedded, *outputs.mixed, *outputs.mlp]


def _outputs(tensors: Sequence[Tensor]) -> Outputs:
    half = (len(tensors) + 1) // 2
    return Outputs(tensors[0], list(tensors[1:half]), list(tensors[half:]))
