"""What every destination of a masked edge run reads, and the gradient of every edge's mask.

    input of v = ablated stream + sum over u of  z_uv D_u,        D_u = current - replaced output of u

The differences of all sources lie in one store, which a run fills in order. A destination block reads it
by one matrix product; its backward pass gives

    d loss / d z_uv = < D_u , d loss / d input_v >                    EAP's contraction, at this run
    d loss / d D_u += sum over v of  z_uv  d loss / d input_v

by two more, so that autograd holds nothing per edge. A source's gradient is whole when all that read it
have gone backward. That order is kept by a token which every reader takes from the last source before
it, and every source from the one before: autograd hands it back only when all of its takers are done.

In post-norm models a layer's heads are mixed first and normalised together, for each destination anew,
as in the run of a circuit. The ablated stream, and what a post-norm is given and gives in it, take
gradients too, for ablations that are being learned.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness_circuits.models.attention_core import PerHead
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.native import Residual

Rows = Float[Tensor, "dst token model"]


class _Store:
    """Differences of all sources so far, and, in the backward pass, their gradients."""

    def __init__(self, stream: AblatedStream) -> None:
        self.stream, self.model = stream, stream.model
        graph = self.graph = stream.model.graph
        self.n_tokens = stream.n_batch * stream.n_pos
        shape = (graph.n_src, self.n_tokens, graph.d_model)
        self.differences = stream.final.new_empty(shape, dtype=stream.model.sum_dtype)
        self._gradients: Tensor | None = None
        post_norm = stream.model.layers[0].post_attention is not None
        self.normed = range(graph.n_layers if post_norm else 0)

    @property
    def gradients(self) -> Float[Tensor, "src token model"]:
        if self._gradients is None:
            self._gradients = torch.zeros_like(self.differences)
        return self._gradients

    def linear(self, mask: Float[Tensor, "seen dst"]) -> Float[Tensor, "seen dst"]:
        """A mask without the sources whose sum is normalised before it is read."""
        if not self.normed:
            return mask
        mask = mask.clone()
        for layer in self.normed:
            mask[self.graph.head_slice(layer)] = 0
        return mask

    def normed_heads(self, n_seen: int) -> list[tuple[int, slice]]:
        """Layers whose heads are normalised together, as far as they are seen, and these heads."""
        found = [(layer, self.graph.head_slice(layer)) for layer in self.normed]
        return [(layer, heads) for layer, heads in found if heads.stop <= n_seen]

    def normed_stream(self, n_seen: int) -> list[Residual]:
        """What the post-norms of these layers are given and give in the ablated stream."""
        layers = [layer for layer, _ in self.normed_heads(n_seen)]
        return [
            x[layer] for x in (self.stream.attention, self.stream.attention_out) for layer in layers
        ]

    def before_norm(self, layer: int, mask: Float[Tensor, "head dst"]) -> Rows:
        """What a layer's post-norm is given for each destination."""
        raw = self.stream.batched(self.stream.attention[layer].detach()).flatten(0, 1)
        heads = self.graph.head_slice(layer)
        return raw + _mixed(mask, self.differences[heads])

    def of_stream(self, rows: Rows, like: Residual) -> Residual:
        """A gradient of all destinations' rows, added up for a tensor of the ablated stream."""
        total = rows.sum(0).view(self.stream.n_batch, self.stream.n_pos, -1)
        return (total if like.shape[0] > 1 else total.sum(0, keepdim=True)).to(like.dtype)

    def after_norm(self, layer: int, rows: Rows) -> Rows:
        """What it gives."""
        out = self.model.layers[layer].after_attention(rows.to(self.model.dtype))
        return out.to(rows.dtype)


class _Put(torch.autograd.Function):
    """Put sources' differences into the store; their gradient is what its readers have left there."""

    @staticmethod
    def forward(ctx: Any, token: Tensor, change: Rows, store: _Store, sources: slice) -> Tensor:
        store.differences[sources] = change
        ctx.store, ctx.sources, ctx.dtype = store, sources, change.dtype
        return torch.zeros_like(token)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, token: Tensor) -> tuple[Any, ...]:
        left = ctx.store.gradients[ctx.sources]
        own = left.clone().to(ctx.dtype)
        left.zero_()  # for another backward pass
        return token, own, None, None


class _Read(torch.autograd.Function):
    """The inputs of a block of destinations."""

    @staticmethod
    def forward(
        ctx: Any,
        token: Tensor,
        mask: Float[Tensor, "src dst"],
        base: Residual,
        store: _Store,
        n_seen: int,
        *normed: Residual,
    ) -> Rows:
        ctx.save_for_backward(mask, base, *normed)
        ctx.store, ctx.n_seen = store, n_seen
        seen = mask[:n_seen]
        flat = store.stream.batched(base).reshape(1, -1).to(mask.dtype)
        differences = store.differences[:n_seen].flatten(1)
        rows = torch.addmm(flat, store.linear(seen).T, differences)
        rows = rows.view(mask.shape[1], store.n_tokens, -1)
        for layer, heads in store.normed_heads(n_seen):
            after = store.after_norm(layer, store.before_norm(layer, seen[heads]))
            rows += after - store.stream.batched(store.stream.attention_out[layer]).flatten(0, 1)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Rows) -> tuple[Any, ...]:
        mask, base, *normed = ctx.saved_tensors
        store, n_seen = ctx.store, ctx.n_seen
        masked, learned = ctx.needs_input_grad[1:3]
        seen, out = mask[:n_seen], torch.zeros_like(mask)
        flat = gradient.flatten(1)
        if masked:
            out[:n_seen] = store.linear(store.differences[:n_seen].flatten(1) @ flat.T)
        store.gradients[:n_seen].flatten(1).addmm_(store.linear(seen), flat)
        given: list[Tensor] = []
        for layer, heads in store.normed_heads(n_seen):
            with torch.enable_grad():
                before = store.before_norm(layer, seen[heads]).detach().requires_grad_()
                after = store.after_norm(layer, before)
            (inner,) = torch.autograd.grad(after, before, gradient)
            if masked:
                out[heads] = store.differences[heads].flatten(1) @ inner.flatten(1).T
            store.gradients[heads].flatten(1).addmm_(seen[heads], inner.flatten(1))
            if learned:
                given.append(store.of_stream(inner, normed[len(given)]))
        own = store.of_stream(gradient, base) if learned else None
        gave = [-store.of_stream(gradient, x) for x in normed[len(given) :]] if learned else []
        of_normed = [*given, *gave] if learned else [None] * len(normed)
        return gradient.new_zeros(()), out if masked else None, own, None, None, *of_normed


def _mixed(mask: Float[Tensor, "src dst"], differences: Float[Tensor, "src token model"]) -> Rows:
    flat = mask.T @ differences.flatten(1)
    return flat.view(mask.shape[1], *differences.shape[1:])


class MaskedEdges:
    """Inputs of every destination in a masked edge run."""

    def __init__(self, mask: Float[Tensor, "src dst"], stream: AblatedStream) -> None:
        """Start one run.

        Args:
            mask: 1 where an edge carries what its source puts out, 0 where it carries the
                replacement; edges that do not exist are not read.
            stream: The fully ablated run of the same prompts.
        """
        self.stream, self.model, self.graph = stream, stream.model, stream.model.graph
        self._store = _Store(stream)
        widths = [self.graph.destinations_per_layer - 1, 1] * self.graph.n_layers + [1]
        self._blocks = mask.to(stream.final.device, self.model.sum_dtype).split(widths, dim=1)
        self._token = self._store.differences.new_zeros(())

    def add_input(self, embedded: Residual) -> None:
        """Take the output of the input node."""
        self._put(slice(0, 1), (embedded - self.stream.replacement.embedded).flatten(0, 1)[None])

    def add_heads(self, index: int, mixed: PerHead) -> None:
        """Take the current mixed values of a layer's heads."""
        difference = (mixed - self.stream.replacement.mixed[index]).flatten(0, 1).transpose(0, 1)
        weights = self.model.layers[index].w_o.to(difference.device)
        self._put(self.graph.head_slice(index), torch.bmm(difference, weights))

    def add_mlp(self, index: int, out: Residual) -> None:
        """Take the current output of an MLP."""
        source = self.graph.mlp_source(index)
        change = (out - self.stream.replacement.mlp[index]).flatten(0, 1)[None]
        self._put(slice(source, source + 1), change)

    def attention_inputs(self, index: int) -> Float[Tensor, "dst batch pos model"]:
        """Residual inputs of a layer's query, key and value destinations."""
        first = self.graph.attention_slice(index).start
        return self._read(2 * index, first, self.stream.block_in[index])

    def mlp_input(self, index: int) -> Residual:
        """Residual input of an MLP."""
        mlp = self.graph.mlp_destination(index)
        return self._read(2 * index + 1, mlp, self.stream.mlp_in[index])[0]

    def final(self) -> Residual:
        """Residual input of the logits."""
        return self._read(-1, -1, self.stream.final)[0]

    def _put(self, sources: slice, change: Rows) -> None:
        self._token = _Put.apply(self._token, change, self._store, sources)  # type: ignore[no-untyped-call]

    def _read(self, block: int, first: int, base: Residual) -> Float[Tensor, "dst batch pos model"]:
        n_seen = int(self.graph.n_visible[first])
        how = self._token, self._blocks[block], base, self._store, n_seen
        normed = self._store.normed_stream(n_seen)
        rows: Tensor = _Read.apply(*how, *normed)  # type: ignore[no-untyped-call]
        shape = (self.stream.n_batch, self.stream.n_pos)
        return rows.unflatten(1, shape).to(self.model.dtype)
