"""Which differences the destinations of an edge circuit add up, worked out once per circuit.

Destinations of a block that keep the same edges share a row. A row lists the sources that it keeps, or
the ones that it leaves out of the total of all: whichever are fewer. In a circuit over spans, a row
lists these for every span, and destinations share one if they keep the same edges at every span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.passes.normed_heads import HeadTerms
from harness_circuits.passes.places import ByIdentity, Places
from harness_circuits.passes.readings import Reading, read_rows, selector


@dataclass(frozen=True)
class Sums:
    """What one block of destinations adds up, at the tokens of one span.

    Attributes:
        slots: What the rows add up, one row after the other, as slots of `EdgePlan`.
        starts: Where each row begins in `slots`.
        signs: -1 for a slot that is subtracted, else 1; None where all are added.
        total: Whether some row begins with the total.
        heads: In post-norm models, the heads that each row keeps, as zeros and ones, of all layers up to
            the last with one; None where no row keeps any.
    """

    slots: Int[Tensor, "entry"]
    starts: Int[Tensor, "row"]
    signs: Float[Tensor, "entry"] | None
    total: bool
    heads: Float[Tensor, "row layer head"] | None = None


@dataclass(frozen=True)
class Block:
    """The rows of one block of destinations.

    Attributes:
        n_rows: Their number.
        of: For each destination, its row, or -1 where nothing is kept.
        sums: What they add up, for every span; one for all tokens where there are no spans.
    """

    n_rows: int
    of: Int[np.ndarray, "dst"]
    sums: tuple[Sums, ...]


class EdgePlan:
    """What an edge circuit needs, worked out once and used for every batch.

    Attributes:
        needed: Sources with a kept edge; their differences have slots 0, 1, ...
        base: The slot of a block's ablated input, which every row begins with.
        total: The slot of the sum of all differences so far; None where no row uses it.
        n_slots: Number of slots.
        slot: Slot of each source, or -1.
        terms: In post-norm models, the terms that needed heads are mixed from.
        heads: Per layer, the heads that are needed.
        head_selectors: The same as an index of activations.
        weight_selectors: The same as an index of the layer's weights.
        attention: Per layer, the sums of the query, key and value destinations.
        readings: Per layer and kind, which of these sums the destinations read.
        mlp: Per layer, the sum of the MLP.
        final: The sum of the logits.
    """

    def __init__(
        self,
        circuit: Circuit,
        n_kv_weights: Sequence[int],
        places: Places,
        dtype: torch.dtype,
        *,
        post_norm: tuple[float, ...],
        totals: bool,
    ) -> None:
        """Number the sources with a kept edge, and group destinations with equal inputs.

        Args:
            circuit: An edge circuit.
            n_kv_weights: Key (or value) projection weights, per layer.
            places: Devices of the model, which the indices are put on here, once.
            dtype: Dtype of activations.
            post_norm: The eps of every layer's norm behind attention, where there is one. Heads are
                left out of the rows then: they are normalised together first.
            totals: Whether rows may subtract from the total.
        """
        graph = circuit.space.graph
        self.graph, self._places, self._dtype = graph, places, dtype
        self.needed = np.flatnonzero(circuit.edges.any(axis=1))
        self.slot = np.full(graph.n_src, -1)
        self.slot[self.needed] = np.arange(len(self.needed))
        self._number_heads()
        self.base = len(self.needed)
        self.terms = self._set_heads_apart(post_norm)
        self._totals = totals and not post_norm
        edges = circuit.edges_at_spans[:, self.needed]
        n_before = np.searchsorted(self.needed, graph.n_visible)
        self.attention, self.mlp = [], []
        for layer in range(graph.n_layers):
            columns = graph.attention_slice(layer)
            self.attention.append(self._block(edges[:, : n_before[columns.start], columns]))
            mlp = graph.mlp_destination(layer)
            # A parallel MLP reads the total after this layer's heads, which it does not see.
            columns = slice(mlp, mlp + 1)
            into_mlp = edges[:, : n_before[mlp], columns]
            self.mlp.append(self._block(into_mlp, no_total=graph.parallel))
        self.final = self._block(edges[:, :, -1:])
        layers = zip(self.attention, n_kv_weights, places.layers, strict=True)
        self.readings = [self._readings(block.of, n, device) for block, n, device in layers]
        everything = (*self.attention, *self.mlp, self.final)
        used = any(sums.total for block in everything for sums in block.sums)
        self.total = self.base + 1 if used else None
        self.n_slots = self.base + 1 + used

    def _set_heads_apart(self, eps: tuple[float, ...]) -> HeadTerms | None:
        """Leave heads out of the rows, where norms mix them."""
        self._linear = np.ones(len(self.needed), dtype=bool)
        if not eps:
            return None
        for layer in range(self.graph.n_layers):
            self._linear[self.head_slots(layer)] = False
        like = torch.empty((), dtype=self._dtype, device=self._places.stream)
        return HeadTerms(self.heads, self.graph.n_heads, eps, like)

    def _number_heads(self) -> None:
        parts = map(self.graph.head_slice, range(self.graph.n_layers))
        self.heads = [np.flatnonzero(self.slot[part] >= 0) for part in parts]
        self.head_selectors = [selector(heads, self._places.stream) for heads in self.heads]
        pairs = zip(self.heads, self._places.layers, strict=True)
        self.weight_selectors = [selector(heads, device) for heads, device in pairs]

    def head_slots(self, layer: int) -> slice:
        """Slots of a layer's heads."""
        start = int(np.searchsorted(self.needed, self.graph.head_source(layer)))
        return slice(start, start + len(self.heads[layer]))

    def _readings(
        self, of: Int[np.ndarray, "dst"], n_kv_weights: int, device: torch.device
    ) -> dict[str, Reading]:
        n, n_kv = self.graph.n_heads, self.graph.n_kv_heads
        q, k, v = np.split(of, [n, n + n_kv])
        return {
            "q": read_rows(q, n, device),
            "k": read_rows(k, n_kv_weights, device),
            "v": read_rows(v, n_kv_weights, device),
        }

    def _block(self, edges: Bool[np.ndarray, "span src dst"], *, no_total: bool = False) -> Block:
        patterns: dict[bytes, int] = {}
        of = np.full(edges.shape[2], -1)
        rows: list[np.ndarray] = []
        for column in np.flatnonzero(edges.any(axis=(0, 1))):
            key = np.packbits(edges[:, :, column]).tobytes()
            if key not in patterns:
                patterns[key] = len(rows)
                rows.append(edges[:, :, column])
            of[column] = patterns[key]
        kept = np.array(rows, dtype=bool).reshape(len(rows), *edges.shape[:2]).transpose(1, 0, 2)
        return Block(len(rows), of, tuple(self._sums(each, no_total=no_total) for each in kept))

    def _sums(self, kept: Bool[np.ndarray, "row src"], *, no_total: bool) -> Sums:
        lists = [self._slots(row, self._totals and not no_total) for row in kept]
        starts = np.cumsum([0, *(len(slots) for slots, _ in lists)])
        flat = [np.concatenate(part) for part in zip(*lists, strict=True)] if len(kept) else None
        slots, signs = (np.zeros(0, dtype=int), np.zeros(0)) if flat is None else flat
        signed = self._placed(signs).to(self._dtype) if (signs < 0).any() else None
        entries, begins = self._placed(slots), self._placed(starts[:-1])
        total = bool((slots > self.base).any())
        return Sums(entries, begins, signed, total, self._kept_heads(kept))

    def _placed(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(self._places.stream)

    def _kept_heads(
        self, kept: Bool[np.ndarray, "row src"]
    ) -> Float[Tensor, "row layer head"] | None:
        """Heads whose sums the rows normalise anew; None where heads are in the rows themselves."""
        found = np.zeros((len(kept), self.graph.n_layers, self.graph.n_heads), dtype=bool)
        for layer in range(self.graph.n_layers if not self._linear.all() else 0):
            slots = self.head_slots(layer)
            if slots.stop <= kept.shape[1]:
                found[:, layer, self.heads[layer]] = kept[:, slots]
        layers = np.flatnonzero(found.any(axis=(0, 2)))
        return None if not len(layers) else self._placed(found[:, : layers[-1] + 1]).to(self._dtype)

    def _slots(
        self, row: Bool[np.ndarray, "src"], total: bool
    ) -> tuple[Int[np.ndarray, "entry"], Float[np.ndarray, "entry"]]:
        """What a row adds up, and with which signs."""
        kept, left = np.flatnonzero(row & self._linear[: len(row)]), np.flatnonzero(~row)
        if not total or len(left) + 1 >= len(kept):
            return np.array([self.base, *kept]), np.ones(len(kept) + 1)
        signs = np.array([1.0, 1.0, *-np.ones(len(left))])
        return np.array([self.base, self.base + 1, *left]), signs


def edge_plan(
    circuit: Circuit,
    n_kv_weights: tuple[int, ...],
    places: Places,
    dtype: torch.dtype,
    *,
    post_norm: tuple[float, ...],
    totals: bool,
) -> EdgePlan:
    """The plan of a circuit, cached by the identity of the circuit; arguments as in `EdgePlan`."""
    return _cached(ByIdentity(circuit), n_kv_weights, places, dtype, post_norm, totals)


@lru_cache(maxsize=64)
def _cached(
    circuit: ByIdentity,
    n_kv_weights: tuple[int, ...],
    places: Places,
    dtype: torch.dtype,
    post_norm: tuple[float, ...],
    totals: bool,
) -> EdgePlan:
    of = circuit.circuit, n_kv_weights, places, dtype
    return EdgePlan(*of, post_norm=post_norm, totals=totals)
