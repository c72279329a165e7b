"""What a circuit's kept edges deliver to each destination.

Every destination reads the ablated stream plus the sum, over kept edges u -> v, of current minus
replacement output of u. `EdgeMixer` holds the differences of all sources with a kept edge and forms
each destination's sum by one matrix product per layer. In node and neuron circuits all destinations
of a layer read the same sum, so `NodeMixer` carries a single running one.

Post-norm models add `post(sum of head results)` to the stream. There every destination has a mixture
of current and replaced head results of its own, which is normalised anew (methods.md, section 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_circuits.circuit import Circuit
from harness_circuits.graph import Graph
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.native import PerHead, Residual


@dataclass(frozen=True)
class Rows:
    """Residual inputs of some destinations.

    Attributes:
        values: Distinct inputs [row, batch, pos, model].
        of: For each destination, its row, or -1 where nothing is kept and the input is ablated.
    """

    values: Float[Tensor, "row batch pos model"]
    of: Int[np.ndarray, "dst"]


@dataclass(frozen=True)
class Sums:
    """Which sources one block of destinations adds up: distinct rows, and the row of each one."""

    weights: Float[np.ndarray, "row src"]
    of: Int[np.ndarray, "dst"]


class EdgePlan:
    """What an edge circuit needs, worked out once and used for every batch."""

    def __init__(self, circuit: Circuit) -> None:
        """Number the sources with a kept edge, and group destinations with equal inputs."""
        graph = circuit.space.graph
        self.graph = graph
        self.needed = np.flatnonzero(circuit.edges.any(axis=1))
        self.slot = np.full(graph.n_src, -1)
        self.slot[self.needed] = np.arange(len(self.needed))
        edges = circuit.edges[self.needed]
        n_before = np.searchsorted(self.needed, graph.n_visible)
        self.attention, self.mlp = [], []
        for layer in range(graph.n_layers):
            columns = graph.attention_slice(layer)
            self.attention.append(_sums(edges[: n_before[columns.start], columns]))
            mlp = graph.mlp_destination(layer)
            self.mlp.append(_sums(edges[: n_before[mlp], mlp : mlp + 1]))
        self.final = _sums(edges[:, -1:])
        self.heads = [
            np.flatnonzero(self.slot[graph.head_slice(layer)] >= 0)
            for layer in range(graph.n_layers)
        ]


@lru_cache(maxsize=64)
def edge_plan(circuit: _Identity) -> EdgePlan:
    """The plan of a circuit, cached by the identity of the circuit."""
    return EdgePlan(circuit.circuit)


class _Identity:
    """Hashes a circuit by identity (its array is not hashable) and keeps it alive."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit

    def __hash__(self) -> int:
        return id(self.circuit)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.circuit is self.circuit


class EdgeMixer:
    """Inputs of every destination in an edge circuit."""

    def __init__(self, circuit: Circuit, stream: AblatedStream) -> None:
        """Start one run."""
        self.plan = edge_plan(_Identity(circuit))
        self.stream = stream
        self.model = stream.model
        self.differences = stream.store(len(self.plan.needed))
        self.post_norm = self.model.layers[0].post_attention is not None

    def enter(self, index: int) -> None:
        """Nothing to note: every destination's sum is formed on its own."""

    def heads_needed(self, index: int) -> Int[np.ndarray, "head"]:
        """Heads of a layer whose output some kept edge carries."""
        return self.plan.heads[index]

    def mlp_needed(self, index: int) -> bool:
        """Whether some kept edge carries the MLP's output."""
        return bool(self.plan.slot[self.plan.graph.mlp_source(index)] >= 0)

    def add_input(self, embedded: Residual) -> None:
        """Take the current output of the input node."""
        if self.plan.slot[0] >= 0:
            torch.sub(embedded, self.stream.replacement.embedded, out=self.differences[0])

    def add_heads(self, index: int, mixed: PerHead) -> None:
        """Take the current mixed values of a layer's heads."""
        heads = self.plan.heads[index]
        difference = mixed - self.stream.replacement.mixed[index]
        first = self.plan.slot[self.plan.graph.head_source(index, int(heads[0]))]
        out = self.differences[first : first + len(heads)].flatten(1, 2)
        chosen = take(difference.flatten(0, 1).transpose(0, 1), heads)
        torch.bmm(chosen, take(self.model.layers[index].w_o, heads), out=out)

    def add_mlp(self, index: int, out: Residual) -> None:
        """Take the current output of an MLP."""
        slot = self.plan.slot[self.plan.graph.mlp_source(index)]
        torch.sub(out, self.stream.replacement.mlp[index], out=self.differences[slot])

    def attention_inputs(self, index: int) -> Rows:
        """Residual inputs of a layer's query, key and value destinations."""
        return self._rows(self.plan.attention[index], self.stream.block_in[index], index)

    def mlp_input(self, index: int) -> Residual:
        """Residual input of an MLP."""
        last = index if self.plan.graph.parallel else index + 1
        return self._single(self.plan.mlp[index], self.stream.mlp_in[index], last)

    def final(self) -> Residual:
        """Residual input of the logits."""
        return self._single(self.plan.final, self.stream.final, self.plan.graph.n_layers)

    def _single(self, sums: Sums, base: Residual, n_layers: int) -> Residual:
        rows = self._rows(sums, base, n_layers)
        return self.stream.batched(base) if rows.of[0] < 0 else rows.values[0]

    def _rows(self, sums: Sums, base: Residual, n_layers: int) -> Rows:
        """Ablated stream plus kept differences; `n_layers` attentions lie before the destination."""
        n_rows, n_src = sums.weights.shape
        base = self.stream.batched(base)
        if not n_rows:
            return Rows(base.new_empty((0, *base.shape)), sums.of)
        weights = torch.from_numpy(sums.weights).to(base)
        linear = weights
        if self.post_norm:
            linear = weights.clone()
            for index in range(n_layers):
                linear[:, self._head_slots(index)] = 0
        flat = self.differences[:n_src].flatten(1)
        values = torch.addmm(base.reshape(1, -1), linear, flat).view(n_rows, *base.shape)
        if self.post_norm:
            self._add_normalised(values, weights, n_layers)
        return Rows(values, sums.of)

    def _add_normalised(self, values: Tensor, weights: Tensor, n_layers: int) -> None:
        """Add what kept heads change behind each post-norm."""
        for index in range(n_layers):
            slots = self._head_slots(index)
            if slots.start == slots.stop:
                continue
            patterns, of = torch.unique(weights[:, slots], dim=0, return_inverse=True)
            kept = patterns.any(dim=1)
            if not kept.any():
                continue
            raw = self.stream.batched(self.stream.attention[index])
            flat = self.differences[slots].flatten(1)
            mixture = torch.addmm(raw.reshape(1, -1), patterns, flat).view(-1, *raw.shape)
            out = self.model.layers[index].after_attention(mixture)
            out -= self.stream.attention_out[index]
            out[~kept] = 0
            values += out[of]

    def _head_slots(self, index: int) -> slice:
        start = int(np.searchsorted(self.plan.needed, self.plan.graph.head_source(index)))
        return slice(start, start + len(self.plan.heads[index]))


class NodeMixer:
    """Inputs of every destination in a node or neuron circuit: the same for all of a layer."""

    def __init__(self, circuit: Circuit, stream: AblatedStream) -> None:
        """Start one run."""
        self.stream = stream
        self.model = stream.model
        self.graph: Graph = circuit.space.graph
        self.nodes = circuit.nodes
        self.neurons = None
        if circuit.space.level == "neuron":
            self.neurons = torch.from_numpy(circuit.kept).to(stream.final)
        self.sum = stream.final.new_zeros((1, stream.n_pos, self.graph.d_model))
        self.before_attention = self.sum

    def enter(self, index: int) -> None:
        """Note the residual a block starts from, which a parallel MLP reads as well."""
        self.before_attention = self.sum

    def heads_needed(self, index: int) -> Int[np.ndarray, "head"]:
        """Kept heads of a layer."""
        return np.flatnonzero(self.nodes[self.graph.head_slice(index)])

    def mlp_needed(self, index: int) -> bool:
        """Whether the MLP is kept."""
        return bool(self.nodes[self.graph.mlp_source(index)])

    def add_input(self, embedded: Residual) -> None:
        """Take the current output of the input node."""
        if self.nodes[0]:
            self._add(0, embedded - self.stream.replacement.embedded)

    def add_heads(self, index: int, mixed: PerHead) -> None:
        """Take the current mixed values of a layer's heads."""
        layer, heads = self.model.layers[index], self.heads_needed(index)
        difference = (mixed - self.stream.replacement.mixed[index])[:, :, heads]
        if self.neurons is None:
            change = difference.flatten(2) @ layer.w_o[heads].flatten(0, 1)
        else:
            kept = self.neurons[self.graph.head_slice(index)][heads]
            change = torch.einsum("bphe,hed,hd->bpd", difference, layer.w_o[heads], kept)
        if layer.post_attention is not None:
            change = layer.after_attention(self.stream.attention[index] + change)
            change = change - self.stream.attention_out[index]
        self.sum = self.sum + change

    def add_mlp(self, index: int, out: Residual) -> None:
        """Take the current output of an MLP."""
        self._add(self.graph.mlp_source(index), out - self.stream.replacement.mlp[index])

    def attention_inputs(self, index: int) -> Rows:
        """The residual input that a layer's query, key and value destinations share."""
        count = self.graph.destinations_per_layer - 1
        values = self.stream.batched(self.stream.block_in[index] + self.sum)
        return Rows(values[None], np.zeros(count, dtype=int))

    def mlp_input(self, index: int) -> Residual:
        """Residual input of an MLP."""
        kept = self.before_attention if self.graph.parallel else self.sum
        return self.stream.batched(self.stream.mlp_in[index] + kept)

    def final(self) -> Residual:
        """Residual input of the logits."""
        return self.stream.batched(self.stream.final + self.sum)

    def _add(self, source: int, change: Residual) -> None:
        if self.neurons is not None:
            change = change * self.neurons[source]
        self.sum = self.sum + change


def _sums(edges: np.ndarray) -> Sums:
    """Group equal columns; columns without a kept edge get -1."""
    patterns: dict[bytes, int] = {}
    of = np.full(edges.shape[1], -1)
    rows: list[np.ndarray] = []
    for column in np.flatnonzero(edges.any(axis=0)):
        key = np.packbits(edges[:, column]).tobytes()
        if key not in patterns:
            patterns[key] = len(rows)
            rows.append(edges[:, column])
        of[column] = patterns[key]
    weights = (
        np.array(rows, dtype=np.float32) if rows else np.zeros((0, edges.shape[0]), np.float32)
    )
    return Sums(weights, of)


def take(x: Tensor, which: Int[np.ndarray, "n"]) -> Tensor:
    """Rows of x, as a view where they are neighbours."""
    if (np.diff(which) == 1).all():
        return x[int(which[0]) : int(which[-1]) + 1]
    return x[torch.from_numpy(which).to(x.device)]
