"""Nodes and edges of a decoder-only transformer: names, order, topology.

Names and order are those of EAP-IG and MIB, so that files interchange. Sources are `input`, then
layer by layer the heads `a{layer}.h{head}` and the MLP `m{layer}`. Destinations are, layer by layer,
the heads' query, key and value inputs `a{layer}.h{head}<q|k|v>` and the MLP `m{layer}`, then `logits`.

What reaches a destination is always a prefix of the source order. The whole topology is therefore
one integer per destination (`Graph.n_visible`), and no edge is ever stored as an object.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from harness_circuits.errors import CircuitFileError, OptionError, UnknownNameError, shown

INPUT = "input"
LOGITS = "logits"
QKV = ("q", "k", "v")

_NUMBER = "(0|[1-9][0-9]*)"  # one spelling per number, so that a unit has one name only
_HEAD = re.compile(rf"a{_NUMBER}\.h{_NUMBER}")
_HEAD_INPUT = re.compile(rf"a{_NUMBER}\.h{_NUMBER}<([qkv])>")
_MLP = re.compile(rf"m{_NUMBER}")


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The computation graph of one model.

    Attributes:
        n_layers: Number of transformer blocks.
        n_heads: Query heads per block; each is a node.
        n_kv_heads: Key and value destinations per block. Equal to `n_heads` unless a model with
            grouped-query attention is taken with its own key/value heads.
        d_model: Width of the residual stream.
        parallel: Attention and MLP of a block read the same residual (GPT-NeoX), so that a
            block's heads do not feed its MLP.
        d_mlp: Hidden units of each MLP, which are no nodes: graphs are equal without it. None where
            nobody has said (files of EAP-IG) or an MLP has none to be told apart (experts).
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    parallel: bool = False
    d_mlp: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        sizes = [self.n_layers, self.n_heads, self.n_kv_heads, self.d_model]
        sizes += [] if self.d_mlp is None else [self.d_mlp]
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise OptionError(f"A graph needs positive whole sizes, got {self}.")
        if self.n_heads % self.n_kv_heads:
            raise OptionError(
                f"{self.n_heads} heads cannot share {self.n_kv_heads} key/value heads evenly."
            )

    @property
    def sources_per_layer(self) -> int:
        """Heads and MLP of one block."""
        return self.n_heads + 1

    @property
    def destinations_per_layer(self) -> int:
        """Query, key and value inputs of one block, and its MLP."""
        return self.n_heads + 2 * self.n_kv_heads + 1

    @property
    def n_src(self) -> int:
        """Number of sources."""
        return 1 + self.n_layers * self.sources_per_layer

    @property
    def n_dst(self) -> int:
        """Number of destinations."""
        return self.n_layers * self.destinations_per_layer + 1

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return int(self.n_visible.sum())

    def head_source(self, layer: int, head: int = 0) -> int:
        """Index of a head among the sources."""
        return 1 + layer * self.sources_per_layer + head

    def mlp_source(self, layer: int) -> int:
        """Index of an MLP among the sources."""
        return self.head_source(layer, self.n_heads)

    def head_destination(self, layer: int, kind: str = "q", head: int = 0) -> int:
        """Index of a query, key or value input among the destinations."""
        offset = {"q": 0, "k": self.n_heads, "v": self.n_heads + self.n_kv_heads}[kind]
        return layer * self.destinations_per_layer + offset + head

    def mlp_destination(self, layer: int) -> int:
        """Index of an MLP's input among the destinations."""
        return (layer + 1) * self.destinations_per_layer - 1

    def kind_slice(self, layer: int, kind: str) -> slice:
        """The destinations of one kind (`q`, `k` or `v`) in one layer."""
        start = self.head_destination(layer, kind)
        return slice(start, start + (self.n_heads if kind == "q" else self.n_kv_heads))

    def attention_slice(self, layer: int) -> slice:
        """All query, key and value destinations of one layer."""
        return slice(self.head_destination(layer), self.mlp_destination(layer))

    def head_slice(self, layer: int) -> slice:
        """The heads of one layer among the sources."""
        start = self.head_source(layer)
        return slice(start, start + self.n_heads)

    @property
    def mlp_sources(self) -> slice:
        """The MLPs among the sources."""
        return slice(self.mlp_source(0), None, self.sources_per_layer)

    @cached_property
    def n_visible(self) -> Int[np.ndarray, "dst"]:
        """For every destination, how many of the first sources reach it."""
        before = 1 + np.arange(self.n_layers) * self.sources_per_layer
        per_layer = np.repeat(before[:, None], self.destinations_per_layer, axis=1)
        if not self.parallel:
            per_layer[:, -1] += self.n_heads
        return np.append(per_layer.ravel(), self.n_src)

    @cached_property
    def edge_mask(self) -> Bool[np.ndarray, "src dst"]:
        """True where an edge exists."""
        return np.arange(self.n_src)[:, None] < self.n_visible[None, :]

    @cached_property
    def source_names(self) -> tuple[str, ...]:
        """Names in source order."""
        names = [INPUT]
        for layer in range(self.n_layers):
            names += [f"a{layer}.h{head}" for head in range(self.n_heads)] + [f"m{layer}"]
        return tuple(names)

    @cached_property
    def destination_names(self) -> tuple[str, ...]:
        """Names in destination order."""
        names: list[str] = []
        for layer in range(self.n_layers):
            for kind in QKV:
                heads = self.n_heads if kind == "q" else self.n_kv_heads
                names += [f"a{layer}.h{head}<{kind}>" for head in range(heads)]
            names.append(f"m{layer}")
        return (*names, LOGITS)

    @cached_property
    def destination_owner(self) -> Int[np.ndarray, "dst"]:
        """Source index of the node a destination belongs to; `n_src` stands for the logits.

        With grouped key/value heads, a key or value input belongs to the first head of its group
        here; `Circuit.prune` treats the whole group.
        """
        group = self.n_heads // self.n_kv_heads
        kv = np.arange(self.n_kv_heads) * group
        per_layer = np.concatenate([np.arange(self.n_heads), kv, kv, [self.n_heads]])
        layers = 1 + np.arange(self.n_layers)[:, None] * self.sources_per_layer
        return np.append((layers + per_layer).ravel(), self.n_src)

    def source_index(self, name: str) -> int:
        """Index of a source by name.

        Raises:
            UnknownNameError: The graph has no such source.

        >>> Graph(n_layers=2, n_heads=4, n_kv_heads=4, d_model=8).source_index("m0")
        5
        """
        if name == INPUT:
            return 0
        if (match := _HEAD.fullmatch(name)) is not None:
            layer, head = map(int, match.groups())
            if layer < self.n_layers and head < self.n_heads:
                return self.head_source(layer, head)
        elif (match := _MLP.fullmatch(name)) is not None and int(match[1]) < self.n_layers:
            return self.mlp_source(int(match[1]))
        raise UnknownNameError(self._not_here("source node", name))

    def destination_index(self, name: str) -> int:
        """Index of a destination by name.

        Raises:
            UnknownNameError: The graph has no such destination.
        """
        if name == LOGITS:
            return self.n_dst - 1
        if (match := _HEAD_INPUT.fullmatch(name)) is not None:
            layer, head, kind = int(match[1]), int(match[2]), match[3]
            heads = self.n_heads if kind == "q" else self.n_kv_heads
            if layer < self.n_layers and head < heads:
                return self.head_destination(layer, kind, head)
        elif (match := _MLP.fullmatch(name)) is not None and int(match[1]) < self.n_layers:
            return self.mlp_destination(int(match[1]))
        raise UnknownNameError(self._not_here("destination", name))

    def edge_index(self, name: str) -> tuple[int, int]:
        """Source and destination index of an edge such as `a3.h1->a5.h0<q>`.

        Raises:
            UnknownNameError: The name is malformed, or the graph has no such edge.

        >>> graph = Graph(n_layers=2, n_heads=4, n_kv_heads=4, d_model=8)
        >>> graph.edge_index("a0.h1->a1.h3<q>")
        (2, 16)
        >>> graph.edge_name(2, 16)
        'a0.h1->a1.h3<q>'
        >>> graph.edge_index("m1->m0")
        Traceback (most recent call last):
        harness_circuits.errors.UnknownNameError: There is no edge 'm1->m0': m1 does not come before m0.
        """
        source, arrow, destination = name.partition("->")
        if not arrow:
            raise UnknownNameError(f"{shown(name)} is not an edge; expected 'source->destination'.")
        src, dst = self.source_index(source), self.destination_index(destination)
        if src >= self.n_visible[dst]:
            raise UnknownNameError(
                f"There is no edge {shown(name)}: {source} does not come before {destination}"
                f"{' (attention and MLP run in parallel here)' if self.parallel else ''}."
            )
        return src, dst

    def edge_name(self, src: int, dst: int) -> str:
        """Name of the edge between two indices."""
        return f"{self.source_names[src]}->{self.destination_names[dst]}"

    def to_dict(self) -> dict[str, Any]:
        """Sizes as plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> Graph:
        """Rebuild a graph from `to_dict`.

        Raises:
            CircuitFileError: A size is missing, unknown, not a number, or fits no graph.
        """
        fields = set(cls.__dataclass_fields__)
        data = {"d_mlp": None, **data} if isinstance(data, dict) else data
        if not isinstance(data, dict) or set(data) != fields:
            raise CircuitFileError(f"Expected graph sizes {sorted(fields)}, got {shown(data)}.")
        unsaid = {"d_mlp"} if data["d_mlp"] is None else set()
        whole = all(type(data[name]) is int for name in fields - {"parallel"} - unsaid)
        if not whole or type(data["parallel"]) is not bool:
            raise CircuitFileError(f"Graph sizes must be whole numbers, got {shown(data)}.")
        try:
            return cls(**data)
        except OptionError as error:
            raise CircuitFileError(f"Unusable graph sizes: {error}") from error

    def _not_here(self, what: str, name: str) -> str:
        parallel = ", parallel attention and MLP" if self.parallel else ""
        return (
            f"Unknown {what} {shown(name)} in a graph of {self.n_layers} layers with {self.n_heads} heads"
            f" ({self.n_kv_heads} key/value heads{parallel})."
        )
