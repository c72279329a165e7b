"""What every destination of a masked node or neuron run reads: one running sum, as all read the same.

    output of u = replaced + z_u (current - replaced)

Autograd does the rest: nothing here is larger than the residual stream.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from harness_circuits.models.attention_core import PerHead
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.native import Residual
from harness_circuits.passes.node_sums import NodeSums


class MaskedNodes(NodeSums):
    """Inputs of every layer in a masked node or neuron run."""

    def __init__(self, mask: Float[Tensor, "src *model"], stream: AblatedStream) -> None:
        """Start one run.

        Args:
            mask: 1 where a source (or one component of its output) is as it is now, 0 where it is
                replaced.
            stream: The fully ablated run of the same prompts.
        """
        super().__init__(stream)
        self.mask = mask.to(stream.final.device, self.model.sum_dtype)

    def add_input(self, embedded: Residual) -> None:
        """Take the output of the input node."""
        self.add(0, embedded - self.stream.replacement.embedded)

    def add_heads(self, index: int, mixed: PerHead) -> None:
        """Take the current mixed values of a layer's heads."""
        layer, gates = self.model.layers[index], self.mask[self.graph.head_slice(index)]
        self.before_attention = self.sum
        difference, dtype = mixed - self.stream.replacement.mixed[index], mixed.dtype
        weights = layer.w_o.to(difference.device)
        if gates.ndim == 1:
            difference = (difference * gates.unsqueeze(-1)).to(dtype)
        else:
            weights = (weights * gates.unsqueeze(1)).to(dtype)
        self.add_attention(index, difference.flatten(2) @ weights.flatten(0, 1))

    def add(self, source: int, change: Residual) -> None:
        """Add the share that the mask lets through."""
        self.sum = self.sum + (change * self.mask[source]).to(change.dtype)
