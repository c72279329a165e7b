"""Means of all nodes' outputs over prompts or texts: the one place where they are added up."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from harness_circuits.machine.ranks import Ranks
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.native import Outputs, zero_outputs

Reduced = Callable[[Tensor], Tensor]


class MeanSums:
    """Sums of outputs under keys, with how much went into each, in at least float32."""

    def __init__(self, model: CircuitModel) -> None:
        """Start with none."""
        self.model = model
        self._sums: dict[Any, tuple[Outputs, int]] = {}

    def add_tokens(self, outputs: Outputs, n_pos: int, key: Hashable = None) -> None:
        """Add outputs at the first positions of every row; the sum has batch and position size 1."""
        n_batch = outputs.embedded.shape[0]
        self._add(key, outputs, lambda x: x[:, :n_pos].sum((0, 1))[None, None], n_batch * n_pos)

    def add_rows(self, outputs: Outputs, key: Hashable) -> None:
        """Add outputs row by row; the sum has batch size 1, and the rows' positions."""
        self._add(key, outputs, lambda x: x.sum(0, keepdim=True), outputs.embedded.shape[0])

    def _add(self, key: Any, outputs: Outputs, reduced: Reduced, count: int) -> None:
        def total(x: Tensor) -> Tensor:
            return reduced(x.to(torch.promote_types(x.dtype, torch.float32)))

        added = mapped(outputs, total)
        if key in self._sums:
            before, n = self._sums[key]
            added = Outputs(
                before.embedded + added.embedded,
                [a + b for a, b in zip(before.mixed, added.mixed, strict=True)],
                [a + b for a, b in zip(before.mlp, added.mlp, strict=True)],
                _both(before.hidden, added.hidden),
            )
            count += n
        self._sums[key] = added, count

    def over_ranks(self, ranks: Ranks, positions: Callable[[Any], int]) -> None:
        """Add up what processes have, which may have seen prompts of different lengths.

        Args:
            ranks: The processes.
            positions: Positions of the sums under a key.
        """
        if ranks.size == 1:
            return
        counts: dict[Any, int] = {}
        for part in ranks.gather({key: n for key, (_, n) in self._sums.items()}):
            for key, n in part.items():
                counts[key] = counts.get(key, 0) + n
        found: dict[Any, tuple[Outputs, int]] = {}
        for key, count in sorted(counts.items()):
            own = self._sums.get(key)
            outputs = zero_outputs(self.model, positions(key)) if own is None else own[0]
            outputs = mapped(outputs, lambda x: x.to(self.model.sum_dtype).clone())
            found[key] = mapped(outputs, ranks.sum_), count
        self._sums = found

    def means(self) -> dict[Any, Outputs]:
        """The means, in the model's dtype."""
        return {
            key: mapped(total, lambda x, n=n: (x / n).to(self.model.dtype))
            for key, (total, n) in self._sums.items()
        }


def mapped(outputs: Outputs, function: Callable[..., Tensor]) -> Outputs:
    """Outputs with a function applied to every tensor."""
    return Outputs(
        function(outputs.embedded),
        [function(x) for x in outputs.mixed],
        [function(x) for x in outputs.mlp],
        None if outputs.hidden is None else [function(x) for x in outputs.hidden],
    )


def _both(a: list[Tensor] | None, b: list[Tensor] | None) -> list[Tensor] | None:
    return None if a is None or b is None else [x + y for x, y in zip(a, b, strict=True)]
