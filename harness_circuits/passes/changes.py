"""What replacing one source's output changes, exactly: no gradient and no norm's Jacobian."""

from __future__ import annotations

import torch
from torch import Tensor

from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.native import Outputs, Residual, hidden_of


class Changes:
    """Replacement minus clean output of every source, one at a time.

    Attributes:
        model: The model.
        attention: Per layer, the clean run's summed head results, read in post-norm models.
    """

    def __init__(
        self,
        model: CircuitModel,
        clean: Outputs,
        replacement: Outputs,
        attention: dict[int, Tensor],
    ) -> None:
        """Take the differences."""
        self.model = model
        self.attention = attention
        self.embedded = _difference(replacement.embedded, clean.embedded)
        pairs = zip(replacement.mixed, clean.mixed, strict=True)
        self.mixed = [_difference(new, old) for new, old in pairs]
        pairs = zip(replacement.mlp, clean.mlp, strict=True)
        self.mlp = [_difference(new, old) for new, old in pairs]
        self.hidden: list[Tensor] = []
        if clean.hidden is not None:
            pairs = zip(hidden_of(replacement), clean.hidden, strict=True)
            self.hidden = [_difference(new, old) for new, old in pairs]

    def output(self, source: int) -> Residual:
        """The change of a source's output, before any post-norm behind it."""
        if source == 0:
            return self.embedded
        index, part = divmod(source - 1, self.model.graph.sources_per_layer)
        if part == self.model.graph.n_heads:
            return self.mlp[index]
        weight = self.model.layers[index].w_o[part]
        change: Tensor = self.mixed[index][:, :, part] @ weight.to(self.embedded.device)
        return change

    def residual(self, source: int) -> Residual:
        """The change this alone makes to the residual stream behind it."""
        change = self.output(source)
        index, part = divmod(source - 1, self.model.graph.sources_per_layer)
        is_head = source > 0 and part < self.model.graph.n_heads
        if not is_head or self.model.layers[index].post_attention is None:
            return change
        attention = self.attention[index]
        after = self.model.layers[index].after_attention
        return after(attention + change) - after(attention)


@torch.no_grad()
def _difference(new: Tensor, old: Tensor) -> Tensor:
    return (new - old).expand_as(old)
