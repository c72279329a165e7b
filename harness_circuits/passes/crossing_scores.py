"""Scores of crossing edges: what a head's query, key or value does between two spans of the prompts.

A crossing edge (head, part, key span t' -> query span t) is replaced by itself, in the clean run:

    v:  the values at t' that t reads; the attention pattern stays
    k:  the keys at t' as t sees them; the rows of the softmax are made anew
    q:  the logits (t, t') are those of the replaced query; the rows are made anew

and its score is minus what that does to the head's output at t, to first order in the output:

    - sum over examples and tokens of t of  < z(replaced) - z,  d metric / d z >

The change of the output is exact, softmax included (position-aware circuits, Haklay et al. 2025, arXiv
2502.04577); only what comes behind it is linear. Along a path the gradients are averaged, as for edges.
Replaced queries, keys and values are those of the run in which everything is replaced.

No block of logits needs a softmax of its own: a row's softmax is one over spans, of each span's
log-sum-exp, and the mean of what is read in a span depends on that span alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_circuits.models.attention_core import PerHead
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.passes.attention_weights import Logits, attend_by, softmax
from harness_circuits.passes.block_arguments import block_arguments, rows_of
from harness_circuits.passes.contract import CHUNK_BYTES
from harness_circuits.passes.gradient_sums import Weighted
from harness_circuits.passes.native import Residual

Changes = Float[Tensor, "row head pos span"]
HELD = 16  # tensors of the size of the logits that are held at once, about


class CrossingSums:
    """Score sums of the crossing edges of one batch."""

    def __init__(self, model: CircuitModel, inputs: Inputs, n_spans: int) -> None:
        """Start with no gradient.

        Args:
            model: The model.
            inputs: The clean prompts, whole, with the span of every token.
            n_spans: Number of spans.
        """
        assert inputs.spans is not None and inputs.prefix is None
        self.model, self.inputs, self.n_spans = model, inputs, n_spans
        self.spans = inputs.spans.to(model.device)
        self.gradients: dict[int, PerHead] = {}

    def watched(self, runs: Iterator[Weighted]) -> Iterator[Weighted]:
        """Runs as they come; their gradients at heads' mixed values are added up."""
        for item in runs:
            for layer, gradient in item.run.gradients["mixed"].items():
                own = gradient.to(self.model.sum_dtype) * item.weight
                self.gradients[layer] = own + self.gradients.get(layer, 0)
            yield item
            del item  # it would be kept through the next run otherwise

    @torch.no_grad()
    def add_to(
        self,
        out: Float[Tensor, "query key dst"],
        clean: dict[int, Residual],
        replaced: list[Residual],
    ) -> None:
        """Add the scores to a total.

        Args:
            out: Score sums.
            clean: What each layer's attention reads in the clean run.
            replaced: The same where everything is replaced; batch size 1 or that of the prompts.
        """
        graph, (n, n_pos) = self.model.graph, self.inputs.ids.shape
        arguments = block_arguments(self.model, self.inputs)
        step = rows_per_chunk(self.model, n_pos)
        for index, gradient in self.gradients.items():
            kv = graph.n_kv_heads
            for first in range(0, n, step):
                rows = slice(first, min(first + step, n))
                x = clean[index][rows]
                inputs = x, replaced[index].expand(n, *x.shape[1:])[rows]
                own = rows_of(arguments[index], rows, n, 3)
                changes = self._changes(index, inputs, gradient[rows], self.spans[rows], own)
                for part, change in changes.items():
                    found = self._by_query(change, self.spans[rows])
                    found = found if part == "q" else found.unflatten(2, (kv, -1)).sum(-1)
                    out[:, :, graph.kind_slice(index, part)] -= found.to(out.dtype)

    def _changes(
        self,
        index: int,
        inputs: tuple[Residual, Residual],
        gradient: PerHead,
        spans: Int[Tensor, "row pos"],
        arguments: dict[str, object],
    ) -> dict[str, Changes]:
        """What replacing each part in each key span does to the metric through every token's output."""
        (q, k, v), (q_new, k_new, v_new) = map(self.model.layers[index].project, inputs)
        found: list[Logits] = []

        def weights(logits: Logits) -> Logits:
            found.extend(logits.to(self.model.sum_dtype).chunk(3))
            # Every token looks at itself, so that values come out as they are mixed.
            return torch.eye(logits.shape[-1]).to(logits).expand(logits.shape)

        stacked = (torch.cat([q, q_new, q]), torch.cat([k, k, k_new]), torch.cat([v, v_new, v]))
        values = attend_by(self.model, index, stacked, arguments, weights).chunk(3)
        clean, with_q, with_k = (logits.to(gradient.device) for logits in found)
        read, moved = (
            torch.einsum("bihd,bjhd->bhij", gradient, each.to(gradient.dtype))
            for each in (values[0], values[1] - values[0])
        )
        old = self._within_spans(clean, read, spans)
        return {
            "q": _replaced(old, self._within_spans(with_q, read, spans)),
            "k": _replaced(old, self._within_spans(with_k, read, spans)),
            "v": self._summed(softmax(clean) * moved, spans),
        }

    def _within_spans(
        self, logits: Logits, values: Logits, spans: Int[Tensor, "row key"]
    ) -> tuple[Changes, Changes]:
        """The log-sum-exp of each key span's logits, and the mean that its softmax takes of values."""
        index = spans[:, None, None].expand(logits.shape)
        shape = (*logits.shape[:-1], self.n_spans)
        top = logits.new_full(shape, -torch.inf).scatter_reduce(-1, index, logits, "amax")
        top = top.masked_fill(top == -torch.inf, 0)
        shares = (logits - top.gather(-1, index)).exp()
        total = self._summed(shares, spans)
        mean = self._summed(shares * values, spans) / total.masked_fill(total == 0, 1)
        return total.log() + top, mean

    def _summed(self, x: Logits, spans: Int[Tensor, "row key"]) -> Changes:
        """Sums over the keys of each span."""
        index = spans[:, None, None].expand(x.shape)
        return x.new_zeros((*x.shape[:-1], self.n_spans)).scatter_add(-1, index, x)

    def _by_query(
        self, change: Changes, spans: Int[Tensor, "row pos"]
    ) -> Float[Tensor, "query key head"]:
        """Sums over examples and the tokens of each query span."""
        inside = torch.nn.functional.one_hot(spans, self.n_spans).to(change)
        return torch.einsum("bhik,biq->qkh", change, inside)


def _replaced(old: tuple[Changes, Changes], new: tuple[Changes, Changes]) -> Changes:
    """Change of the mean over all keys where one span after the other has new logits."""
    before = (softmax(old[0]) * old[1]).sum(-1)
    change = torch.empty_like(old[0])
    for span in range(change.shape[-1]):
        (logits, means) = (each.clone() for each in old)
        logits[..., span], means[..., span] = new[0][..., span], new[1][..., span]
        change[..., span] = (softmax(logits) * means).sum(-1) - before
    return change


@torch.no_grad()
def check_crossing(model: CircuitModel) -> None:
    """Make sure that the logits of a model's attention can be had.

    Raises:
        UnsupportedModelError: They cannot.
    """
    inputs = Inputs(torch.zeros((1, 2), dtype=torch.long), torch.ones(1, dtype=torch.long))
    arguments = block_arguments(model, inputs)
    for index, layer in enumerate(model.layers):
        x = torch.zeros((1, 2, model.graph.d_model), dtype=model.dtype, device=model.device)
        attend_by(model, index, layer.project(x), arguments[index], softmax)


def rows_per_chunk(model: CircuitModel, n_pos: int) -> int:
    """How many prompts' logits of a layer are held at once."""
    return max(1, CHUNK_BYTES // bytes_per_row(model, n_pos))


def bytes_per_row(model: CircuitModel, n_pos: int) -> int:
    """What one prompt's logits of a layer, and what is made of them, hold."""
    return HELD * model.graph.n_heads * n_pos**2 * torch.finfo(model.sum_dtype).bits // 8
