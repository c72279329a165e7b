"""The run in which every node is ablated: what all circuits of a batch start from.

With every source output replaced, the residual stream at each destination is a sum of known terms:
replacements, learned position embeddings and output biases. It is worked out once per batch and
used for every circuit of every size: a circuit adds to it what its kept edges carry.
"""

from __future__ import annotations

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.passes.native import Outputs, Residual


class Room:
    """Memory that is used again, since fresh memory costs more than what is written into it."""

    def __init__(self) -> None:
        """Start with none."""
        self._flat: Tensor | None = None

    def take(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """A tensor of some shape, which holds anything; what was taken before is overwritten."""
        size = math.prod(shape)
        if self._flat is None or self._flat.numel() < size or self._flat.dtype != like.dtype:
            self._flat = None
            self._flat = like.new_empty(size)
        return self._flat[:size].view(shape)


class AblatedStream:
    """Residual stream, queries, keys and values of a fully ablated run.

    Attributes:
        model: The model.
        replacement: What replaces every source's output.
        block_in: Per layer, the attention's residual input, batch size 1 or that of the inputs.
        mlp_in: Per layer, the MLP's residual input.
        final: The logits' residual input.
        attention: Per layer, the replaced head results added up, with the output bias.
        attention_out: The same after the post-norm, where there is one.
    """

    def __init__(
        self,
        model: CircuitModel,
        inputs: Inputs,
        replacement: Outputs,
        room: Room | None = None,
    ) -> None:
        """Work out the stream for the positions of some inputs.

        Args:
            model: The model.
            inputs: The inputs.
            replacement: What replaces every source's output; the stream is differentiable in it where
                it is being learned.
            room: Memory of earlier streams, to use again.
        """
        self.model = model
        self.replacement = replacement
        self.n_batch, self.n_pos = inputs.ids.shape
        self.block_in: list[Residual] = []
        self.mlp_in: list[Residual] = []
        self.attention: list[Residual] = []
        self.attention_out: list[Residual] = []
        embedded = replacement.embedded
        x = embedded + model.position_embedding(inputs, embedded)
        x = x.expand(x.shape[0], self.n_pos, -1)
        learned = torch.is_grad_enabled() and embedded.requires_grad
        with torch.set_grad_enabled(learned):
            for index, layer in enumerate(model.layers):
                self.block_in.append(x)
                self.attention.append(layer.attention_sum(replacement.mixed[index]))
                self.attention_out.append(layer.after_attention(self.attention[index]))
                mid = x + self.attention_out[index]
                self.mlp_in.append(x if model.graph.parallel else mid)
                x = mid + replacement.mlp[index]
        self.final = x
        self._projected: dict[int, dict[str, Tensor]] = {}
        self.room = Room() if room is None else room
        self._others: list[AblatedStream] = []

    @property
    def is_learned(self) -> bool:
        """Whether what replaces outputs is being learned."""
        return self.final.requires_grad

    def projected(self, index: int, kind: str) -> Float[Tensor, "batch pos head d_head"]:
        """Queries, keys or values of the ablated stream, one per destination of the graph."""
        if index not in self._projected:
            layer = self.model.layers[index]
            with torch.no_grad():
                values = dict(zip("qkv", layer.project(self.block_in[index]), strict=True))
            group = self.model.graph.n_heads // self.model.graph.n_kv_heads
            if group > 1:
                values = {k: v if k == "q" else v[:, :, ::group] for k, v in values.items()}
            self._projected[index] = values
        return self._projected[index][kind]

    def store(self, n_slots: int) -> Float[Tensor, "batch pos slot model"]:
        """Room for some residual-sized tensors, reused from circuit to circuit."""
        shape = (self.n_batch, self.n_pos, n_slots, self.model.graph.d_model)
        return self.room.take(shape, self.final)

    def beside(self, n: int) -> list[AblatedStream]:
        """This stream n times: all have what is worked out once, and each has room of its own."""
        while len(self._others) < n - 1:
            other = copy.copy(self)
            other.room = Room()
            self._others.append(other)
        return [self, *self._others[: n - 1]]

    def spread(self, n_batch: int, n_pos: int) -> AblatedStream:
        """The stream of one position at all positions of a batch, as views; the room is shared."""
        assert self.n_pos == 1
        for index in range(len(self.block_in)):
            self.projected(index, "q")

        def wide(x: Tensor) -> Tensor:
            return x.expand(x.shape[0], n_pos, *x.shape[2:])

        other = copy.copy(self)
        other.n_batch, other.n_pos = n_batch, n_pos
        for name in ("block_in", "mlp_in", "attention", "attention_out"):
            setattr(other, name, [wide(x) for x in getattr(self, name)])
        other.final = wide(self.final)
        other._projected = {
            index: {kind: wide(x) for kind, x in values.items()}
            for index, values in self._projected.items()
        }
        return other

    def batched(self, x: Tensor) -> Tensor:
        """Expand a tensor of batch size 1 to the batch."""
        return x.expand(self.n_batch, *x.shape[1:])
