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


class MaskedNodes:
    """Inputs of every layer in a masked node or neuron run."""

    def __init__(self, mask: Float[Tensor, "src *model"], stream: AblatedStream) -> None:
        """Start one run.

        Args:
            mask: 1 where a source (or one component of its output) is as it is now, 0 where it is
                replaced.
            stream: The fully ablated run of the same prompts.
        """
        self.stream, self.model, self.graph = stream, stream.model, stream.model.graph
        self.mask = mask.to(stream.final.device, self.model.sum_dtype)
        self.sum = stream.final.new_zeros((1, stream.n_pos, self.graph.d_model))
        self.before_attention = self.sum

    def add_input(self, embedded: Residual) -> None:
        """Take the output of the input node."""
        self._add(0, embedded - self.stream.replacement.embedded)

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
        change = difference.flatten(2) @ weights.flatten(0, 1)
        if layer.post_attention is not None:
            change = layer.after_attention(self.stream.attention[index] + change)
            change = change - self.stream.attention_out[index]
        self.sum = self.sum + change

    def add_mlp(self, index: int, out: Residual) -> None:
        """Take the current output of an MLP."""
        self._add(self.graph.mlp_source(index), out - self.stream.replacement.mlp[index])

    def attention_input(self, index: int) -> Residual:
        """The residual input that a layer's query, key and value destinations share."""
        return self.stream.batched(self.stream.block_in[index] + self.sum)

    def mlp_input(self, index: int) -> Residual:
        """Residual input of an MLP."""
        kept = self.before_attention if self.graph.parallel else self.sum
        return self.stream.batched(self.stream.mlp_in[index] + kept)

    def final(self) -> Residual:
        """Residual input of the logits."""
        return self.stream.batched(self.stream.final + self.sum)

    def _add(self, source: int, change: Residual) -> None:
        self.sum = self.sum + (change * self.mask[source]).to(change.dtype)
