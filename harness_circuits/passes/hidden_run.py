"""Runs of circuits of MLPs' hidden units: what is not kept is replaced, all else runs as it is.

Input, attention and the rest of each MLP follow from what they read in this run; an MLP adds up its
kept hidden units and the replacements of the others (with its bias), and any post-norm comes behind.
With every unit kept this is the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.passes.native import HIDDEN, NativeRun, Outputs, hidden_of


class HiddenRun(NativeRun):
    """Runs of one or more circuits side by side: rows are the prompts once per circuit."""

    def __init__(
        self,
        model: CircuitModel,
        kept: Shaped[Tensor, "circuit layer hidden"],
        replacement: Outputs,
    ) -> None:
        """Prepare one run.

        Args:
            model: The model.
            kept: Which units each circuit keeps; numbers from 0 (replaced) to 1 (kept) mix both.
            replacement: What replaces hidden units, of batch size 1 or that of the prompts.
        """
        super().__init__(model, ())
        self.taps_hidden = True
        self.kept = kept.to(model.device)
        self.replacement = hidden_of(replacement)

    def tap(self, point: str, layer: int, tensor: Tensor) -> Tensor:
        """Replace the hidden units that a circuit does not keep."""
        if point != HIDDEN:
            return super().tap(point, layer, tensor)
        kept = self.kept[:, layer, None, None]
        rows = tensor.unflatten(0, (len(kept), -1))
        replaced = self.replacement[layer].to(tensor.dtype)
        if kept.dtype == torch.bool:
            return torch.where(kept, rows, replaced).flatten(0, 1)
        return (replaced + kept * (rows - replaced)).to(tensor.dtype).flatten(0, 1)


def run_hidden(
    model: CircuitModel, circuits: Sequence[Circuit], inputs: Inputs, replacement: Outputs
) -> Float[Tensor, "circuit batch read vocab"]:
    """Logits of circuits of hidden units, side by side in one pass.

    Args:
        model: The model.
        circuits: What is kept, at level `mlp-neuron`.
        inputs: The clean prompts.
        replacement: What replaces hidden units, of batch size 1 or that of the prompts.
    """
    n = len(circuits)
    run = HiddenRun(model, kept_units(circuits), replacement)
    with torch.no_grad():
        logits = model.forward(inputs if n == 1 else inputs.repeated(n), run)
    return logits.unflatten(0, (n, -1))


def kept_units(circuits: Sequence[Circuit]) -> Bool[Tensor, "circuit layer hidden"]:
    """What circuits keep, one after the other."""
    return torch.stack([torch.from_numpy(circuit.kept) for circuit in circuits])
