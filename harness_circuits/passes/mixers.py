"""What a circuit's kept edges deliver to each destination.

Every destination reads the ablated stream plus the sum, over kept edges u -> v, of current minus
replacement output of u. `EdgeMixer` holds the differences of all sources with a kept edge and forms
each destination's sum by one sparse sum per layer, or per layer and span of the prompts. In node and
neuron circuits all destinations of a layer read the same sum, so `NodeMixer` carries a running one.

Post-norm models add `post(sum of head results)` to the stream. There every destination has a mixture
of current and replaced head results of its own, which is normalised by itself (`normed_heads.py`).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.errors import MismatchError
from harness_circuits.models.attention_core import PerHead
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.edge_plan import Block, Sums, edge_plan
from harness_circuits.passes.native import Residual
from harness_circuits.passes.node_plan import node_plan
from harness_circuits.passes.node_sums import NodeSums
from harness_circuits.passes.normed_heads import NormedHeads, post_norm_eps
from harness_circuits.passes.places import Places
from harness_circuits.passes.readings import Reading

InputRows = Float[Tensor, "row batch pos model"]


class EdgeMixer:
    """Inputs of every destination in an edge circuit."""

    def __init__(
        self, circuit: Circuit, stream: AblatedStream, spans: Int[Tensor, "batch pos"] | None = None
    ) -> None:
        """Start one run.

        Args:
            circuit: An edge circuit.
            stream: The fully ablated run of the same prompts.
            spans: The span of every token; a circuit over spans needs it.

        Raises:
            MismatchError: It is needed and missing.
        """
        self.stream = stream
        self.model = stream.model
        self.tokens = self._tokens(circuit, stream, spans)
        exact = stream.final.dtype in (torch.float32, torch.float64)  # totals take digits
        n_kv_weights = tuple(len(layer.folded["k"][0]) for layer in self.model.layers)
        places, dtype = Places.of(self.model), stream.final.dtype
        of, post_norm = (circuit, n_kv_weights, places, dtype), post_norm_eps(self.model)
        self.plan = edge_plan(*of, post_norm=post_norm, totals=exact)
        terms = self.plan.terms
        self.normed = None if terms is None else NormedHeads(self.model, terms)
        n_terms = 0 if terms is None else terms.n_terms[-1]
        self.differences = stream.store(self.plan.n_slots + n_terms)
        if self.plan.total is not None:
            self.differences[:, :, self.plan.total].zero_()

    @staticmethod
    def _tokens(
        circuit: Circuit, stream: AblatedStream, spans: Int[Tensor, "batch pos"] | None
    ) -> list[Int[Tensor, "token"]]:
        """The tokens of every span; all together where the circuit has no spans."""
        device = stream.final.device
        if circuit.space.spans is None:
            return [torch.arange(stream.n_batch * stream.n_pos, device=device)]
        if spans is None:
            raise MismatchError(
                "This circuit is over spans of prompts, and these prompts have none: give positions= as "
                "for its discovery."
            )
        flat = spans.flatten().to(device)
        return [(flat == at).nonzero().flatten() for at in range(len(circuit.space.spans))]

    def enter(self, index: int) -> None:
        """Nothing to note: every destination's sum is formed on its own."""

    def heads_needed(self, index: int) -> Int[np.ndarray, "head"]:
        """Heads of a layer whose output some kept edge carries."""
        return self.plan.heads[index]

    def mlp_needed(self, index: int) -> bool:
        """Whether some kept edge carries the MLP's output."""
        return bool(self.plan.slot[self.plan.graph.mlp_source(index)] >= 0)

    def take_known(self, differences: Float[Tensor, "src token model"], n_known: int) -> None:
        """Take the first sources' differences as they are, in place of what runs would give."""
        sources = self.plan.needed[: int(np.searchsorted(self.plan.needed, n_known))]
        slots = slice(0, len(sources))
        known = differences[torch.from_numpy(sources).to(differences.device)]
        self.differences.flatten(0, 1)[:, slots] = known.transpose(0, 1).to(self.differences.dtype)
        self._count(slots)
        for index in range(self.plan.graph.n_layers):
            if self.plan.graph.head_slice(index).stop <= n_known:
                self._see(index)

    def all_differences(self) -> Float[Tensor, "src token model"]:
        """A copy of all sources' differences; 0 where no edge is kept."""
        flat = self.differences.flatten(0, 1).transpose(0, 1)
        found = flat.new_zeros((self.plan.graph.n_src, *flat.shape[1:]))
        found[torch.from_numpy(self.plan.needed).to(flat.device)] = flat[: self.plan.base]
        return found

    def add_input(self, embedded: Residual) -> None:
        """Take the current output of the input node."""
        self._add(0, embedded, self.stream.replacement.embedded)

    def add_heads(self, index: int, mixed: PerHead) -> None:
        """Take the current mixed values of a layer's heads."""
        heads, slots = self.plan.head_selectors[index], self.plan.head_slots(index)
        difference = (mixed - self.stream.replacement.mixed[index]).flatten(0, 1)
        out = self.differences[:, :, slots].flatten(0, 1).transpose(0, 1)
        w_o = self.model.layers[index].w_o[self.plan.weight_selectors[index]].to(difference.device)
        torch.bmm(difference.transpose(0, 1)[heads], w_o, out=out)
        self._count(slots)
        self._see(index)

    def add_mlp(self, index: int, out: Residual) -> None:
        """Take the current output of an MLP."""
        self._add(self.plan.graph.mlp_source(index), out, self.stream.replacement.mlp[index])

    def _see(self, index: int) -> None:
        """Make the terms of a layer whose differences are there, where a post-norm follows its heads."""
        if self.normed is None or not self.plan.heads[index].size:
            return
        flat = self.differences.flatten(0, 1)
        heads = flat[:, self.plan.head_slots(index)].transpose(0, 1)
        raw = self.stream.batched(self.stream.attention[index]).flatten(0, 1)
        terms = self.normed.see(index, raw, heads)
        self._terms[:, self.normed.terms.of_layer(index)] = terms.to(flat)

    @property
    def _terms(self) -> Float[Tensor, "token term model"]:
        return self.differences.flatten(0, 1)[:, self.plan.n_slots :]

    def _add(self, source: int, current: Residual, replacement: Residual) -> None:
        slot = int(self.plan.slot[source])
        if slot >= 0:
            torch.sub(current, replacement, out=self.differences[:, :, slot])
            self._count(slice(slot, slot + 1))

    def _count(self, slots: slice) -> None:
        """Add differences to the total."""
        if self.plan.total is not None:
            self.differences[:, :, self.plan.total] += self.differences[:, :, slots].sum(2)

    def reading(self, index: int, kind: str) -> Reading:
        """Which of a layer's inputs its query, key or value destinations read."""
        return self.plan.readings[index][kind]

    def attention_inputs(self, index: int) -> InputRows:
        """Distinct residual inputs of a layer's query, key and value destinations."""
        return self._rows(self.plan.attention[index], self.stream.block_in[index])

    def mlp_input(self, index: int) -> Residual:
        """Residual input of an MLP."""
        return self._single(self.plan.mlp[index], self.stream.mlp_in[index])

    def final(self) -> Residual:
        """Residual input of the logits."""
        return self._single(self.plan.final, self.stream.final)

    def _single(self, block: Block, base: Residual) -> Residual:
        rows = self._rows(block, base)
        return rows[0] if len(rows) else self.stream.batched(base)

    def _rows(self, block: Block, base: Residual) -> InputRows:
        """Ablated stream plus kept differences."""
        base = self.stream.batched(base)
        if not block.n_rows:
            return base.new_empty((0, *base.shape))
        self.differences[:, :, self.plan.base] = base
        if len(self.tokens) == 1:
            values = _added_up(self.differences, block.sums[0], self.tokens[0])
        else:
            values = base.new_empty((base.shape[:2].numel(), block.n_rows, base.shape[2]))
            for sums, tokens in zip(block.sums, self.tokens, strict=True):
                if len(tokens):
                    values[tokens] = _added_up(self.differences, sums, tokens)
        if any(sums.heads is not None for sums in block.sums):
            values += self._normed(block)
        return values.unflatten(0, base.shape[:2]).permute(2, 0, 1, 3)

    def _normed(self, block: Block) -> Float[Tensor, "token row model"]:
        """What heads add to the rows behind post-norms."""
        assert self.normed is not None
        terms = self._terms
        taken = terms.new_zeros((len(terms), block.n_rows, terms.shape[1]))
        n_terms = 0
        for sums, tokens in zip(block.sums, self.tokens, strict=True):
            if sums.heads is not None and len(tokens):
                each = self.normed.coefficients(sums.heads, tokens)
                taken[tokens, :, : each.shape[2]] = each.to(taken)
                n_terms = max(n_terms, each.shape[2])
        return taken[:, :, :n_terms] @ terms[:, :n_terms]


def _added_up(
    differences: Float[Tensor, "batch pos slot model"], sums: Sums, tokens: Int[Tensor, "token"]
) -> Float[Tensor, "token row model"]:
    """All rows of sums at some tokens, the rows of one token side by side.

    Behind the slots of the sums there may be others, which are not read (terms of `normed_heads.py`).

    Circuits are sparse, so this adds up slots token by token, from memory that is near, in place of a
    matrix product with a matrix of zeros and ones.
    """
    n_slots, width = differences.shape[2:]
    slots, starts = sums.slots, sums.starts
    each = torch.arange(len(tokens), device=tokens.device)
    signs = None if sums.signs is None else sums.signs.repeat(len(tokens))
    out = torch.nn.functional.embedding_bag(
        (slots + n_slots * tokens[:, None]).flatten(),
        differences.view(-1, width),
        (starts + len(slots) * each[:, None]).flatten(),
        mode="sum",
        per_sample_weights=signs,
    )
    return out.view(len(tokens), len(starts), width)


class NodeMixer(NodeSums):
    """Inputs of every destination in a node or neuron circuit: the same for all of a layer."""

    def __init__(self, circuit: Circuit, stream: AblatedStream) -> None:
        """Start one run."""
        super().__init__(stream)
        self.plan = node_plan(circuit, Places.of(self.model), stream.final.dtype)
        self.neurons = self.plan.neurons

    def enter(self, index: int) -> None:
        """Note the residual a block starts from, which a parallel MLP reads as well."""
        self.before_attention = self.sum

    def heads_needed(self, index: int) -> Int[np.ndarray, "head"]:
        """Kept heads of a layer."""
        return self.plan.heads[index]

    def mlp_needed(self, index: int) -> bool:
        """Whether the MLP is kept."""
        return bool(self.plan.nodes[self.graph.mlp_source(index)])

    def add_input(self, embedded: Residual) -> None:
        """Take the current output of the input node."""
        if self.plan.nodes[0]:
            self.add(0, embedded - self.stream.replacement.embedded)

    def add_heads(self, index: int, mixed: PerHead) -> None:
        """Take the current mixed values of a layer's heads."""
        layer, heads = self.model.layers[index], self.plan.head_selectors[index]
        difference = (mixed - self.stream.replacement.mixed[index])[:, :, heads]
        weights = layer.w_o[self.plan.weight_selectors[index]].to(difference.device)
        if self.neurons is None:
            change = difference.flatten(2) @ weights.flatten(0, 1)
        else:
            kept = self.neurons[self.graph.head_slice(index)][heads]
            change = torch.einsum("bphe,hed,hd->bpd", difference, weights, kept)
        self.add_attention(index, change)

    def reading(self, index: int, kind: str) -> Reading:
        """All of a layer's query, key or value destinations read its one input."""
        return Reading(self.graph.n_heads if kind == "q" else self.graph.n_kv_heads, 0)

    def attention_inputs(self, index: int) -> InputRows:
        """The residual input that a layer's query, key and value destinations share, as one row."""
        return self.attention_input(index)[None]

    def add(self, source: int, change: Residual) -> None:
        """Add what is kept."""
        if self.neurons is not None:
            change = change * self.neurons[source]
        self.sum = self.sum + change
