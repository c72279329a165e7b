"""The one running sum that all destinations of a node run read, whatever share of a source counts."""

from __future__ import annotations

from abc import ABC, abstractmethod

from harness_circuits.circuits.graph import Graph
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.native import Residual


class NodeSums(ABC):
    """What kept nodes have added to the ablated stream so far.

    Attributes:
        stream: The fully ablated run of the same prompts.
        sum: What has been added, [batch, pos, model].
        before_attention: The same where the block at hand starts, which a parallel MLP reads.
    """

    def __init__(self, stream: AblatedStream) -> None:
        """Start with nothing added."""
        self.stream, self.model = stream, stream.model
        self.graph: Graph = stream.model.graph
        self.sum = stream.final.new_zeros((1, stream.n_pos, self.graph.d_model))
        self.before_attention = self.sum

    @abstractmethod
    def add(self, source: int, change: Residual) -> None:
        """Add the share that counts of current minus replaced output of the input node or an MLP."""

    def add_mlp(self, index: int, out: Residual) -> None:
        """Take the current output of an MLP."""
        self.add(self.graph.mlp_source(index), out - self.stream.replacement.mlp[index])

    def add_attention(self, index: int, change: Residual) -> None:
        """Take what a layer's heads change together, through the post-norm where there is one."""
        layer = self.model.layers[index]
        if layer.post_attention is not None:
            change = layer.after_attention(self.stream.attention[index] + change)
            change = change - self.stream.attention_out[index]
        self.sum = self.sum + change

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
