"""What every destination of a masked edge run reads, and the gradient of every edge's mask.

    input of v = ablated stream + sum over u of  z_uv D_u,        D_u = current - replaced output of u

The differences of all sources lie in one store, which a run fills in order. A destination block reads it
by one matrix product; its backward pass gives

    d loss / d z_uv = < D_u , d loss / d input_v >                    EAP's contraction, at this run
    d loss / d D_u += sum over v of  z_uv  d loss / d input_v

by two more, so that autograd holds nothing per edge. A source's gradient is whole when all that read it
have gone backward. That order is kept by a token which every reader takes from the last source before
it, and every source from the one before: autograd hands it back only when all of its takers are done.

In post-norm models the heads' terms of `normed_heads.py` take the place of their differences: a
destination reads them by a matrix product per token, with coefficients that autograd differentiates. The
ablated stream takes gradients too, for ablations that are being learned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness_circuits.models.attention_core import PerHead
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.native import Residual
from harness_circuits.passes.normed_heads import NormedHeads, all_heads, post_norm_eps

Rows = Float[Tensor, "dst token model"]


class _Store:
    """What some sources have put there so far, and, in the backward pass, its gradients."""

    def __init__(self, like: Tensor, *shape: int) -> None:
        self.values = like.new_empty(shape)
        self._gradients: Tensor | None = None

    @property
    def gradients(self) -> Tensor:
        if self._gradients is None:
            self._gradients = torch.zeros_like(self.values)
        return self._gradients


class _Put(torch.autograd.Function):
    """Put something into a store; its gradient is what its readers have left there."""

    @staticmethod
    def forward(ctx: Any, token: Tensor, values: Tensor, store: _Store, where: Any) -> Tensor:
        store.values[where] = values
        ctx.store, ctx.where, ctx.dtype = store, where, values.dtype
        return torch.zeros_like(token)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, token: Tensor) -> tuple[Any, ...]:
        left = ctx.store.gradients[ctx.where]
        own = left.clone().to(ctx.dtype)
        left.zero_()  # for another backward pass
        return token, own, None, None


class _Read(torch.autograd.Function):
    """The inputs of a block of destinations, by masks that are the same for all tokens."""

    @staticmethod
    def forward(
        ctx: Any,
        token: Tensor,
        mask: Float[Tensor, "src dst"],
        base: Float[Tensor, "token model"],
        store: _Store,
    ) -> Rows:
        ctx.save_for_backward(mask)
        ctx.store = store
        differences = store.values[: len(mask)].flatten(1)
        rows = torch.addmm(base.reshape(1, -1), mask.T, differences)
        return rows.view(mask.shape[1], *base.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Rows) -> tuple[Any, ...]:
        (mask,), flat = ctx.saved_tensors, gradient.flatten(1)
        differences = ctx.store.values[: len(mask)].flatten(1)
        own = differences @ flat.T if ctx.needs_input_grad[1] else None
        ctx.store.gradients[: len(mask)].flatten(1).addmm_(mask, flat)
        base = gradient.sum(0) if ctx.needs_input_grad[2] else None
        return gradient.new_zeros(()), own, base, None


class _ReadTerms(torch.autograd.Function):
    """What heads add to these behind post-norms, by coefficients of every token."""

    @staticmethod
    def forward(
        ctx: Any, token: Tensor, taken: Float[Tensor, "token dst term"], store: _Store
    ) -> Float[Tensor, "token dst model"]:
        ctx.save_for_backward(taken)
        ctx.store = store
        return taken @ store.values[:, : taken.shape[2]]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "token dst model"]) -> tuple[Any, ...]:
        (taken,), store = ctx.saved_tensors, ctx.store
        terms = store.values[:, : taken.shape[2]]
        store.gradients[:, : taken.shape[2]].baddbmm_(taken.transpose(1, 2), gradient)
        return gradient.new_zeros(()), gradient @ terms.transpose(1, 2), None


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
        graph, post_norm = self.graph, post_norm_eps(self.model)
        like = stream.final.new_empty((), dtype=self.model.sum_dtype)
        # Heads whose differences are not read as they are.
        apart = np.zeros(graph.n_src, dtype=bool)
        for layer in range(graph.n_layers if post_norm else 0):
            apart[graph.head_slice(layer)] = True
        self._place = np.cumsum(~apart)  # of these sources, how many are among the first
        self._token, n_tokens = like.new_zeros(()), stream.n_batch * stream.n_pos
        self._store = _Store(like, int(self._place[-1]), n_tokens, graph.d_model)
        self._masks = self._blocks(mask.to(like), ~apart)
        self._normed = None
        if post_norm:
            terms = all_heads(graph.n_layers, graph.n_heads, post_norm, like.dtype, like.device)
            self._normed = NormedHeads(self.model, terms)
            self._terms = _Store(like, n_tokens, terms.n_terms[-1], graph.d_model)
            self._head_masks = self._blocks(mask.to(like), apart)

    def _blocks(
        self, mask: Float[Tensor, "src dst"], sources: Bool[np.ndarray, "src"]
    ) -> tuple[Float[Tensor, "some dst"], ...]:
        """Some sources' masks, for every block of destinations."""
        widths = [self.graph.destinations_per_layer - 1, 1] * self.graph.n_layers + [1]
        if not sources.all():
            mask = mask[torch.from_numpy(np.flatnonzero(sources)).to(mask.device)]
        return mask.split(widths, dim=1)

    def add_input(self, embedded: Residual) -> None:
        """Take the output of the input node."""
        self._put(slice(0, 1), (embedded - self.stream.replacement.embedded).flatten(0, 1)[None])

    def add_heads(self, index: int, mixed: PerHead) -> None:
        """Take the current mixed values of a layer's heads."""
        difference = (mixed - self.stream.replacement.mixed[index]).flatten(0, 1).transpose(0, 1)
        weights = self.model.layers[index].w_o.to(difference.device)
        change = torch.bmm(difference, weights)
        if self._normed is None:
            self._put(self.graph.head_slice(index), change)
            return
        raw = self.stream.batched(self.stream.attention[index]).flatten(0, 1)
        where = slice(None), self._normed.terms.of_layer(index)
        terms = self._normed.see(index, raw, change.to(self._store.values.dtype))
        self._token = _Put.apply(self._token, terms, self._terms, where)  # type: ignore[no-untyped-call]

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
        last = int(self._place[sources.stop - 1])
        where = slice(last - len(change), last)
        self._token = _Put.apply(self._token, change, self._store, where)  # type: ignore[no-untyped-call]

    def _read(self, block: int, first: int, base: Residual) -> Float[Tensor, "dst batch pos model"]:
        n_seen = int(self.graph.n_visible[first])
        mask = self._masks[block][: self._place[n_seen - 1]]
        flat = self.stream.batched(base).flatten(0, 1).to(mask.dtype)
        rows: Tensor = _Read.apply(self._token, mask, flat, self._store)  # type: ignore[no-untyped-call]
        n_layers = sum(self.graph.head_slice(n).stop <= n_seen for n in range(self.graph.n_layers))
        if self._normed is not None and n_layers:
            z = self._head_masks[block][: n_layers * self.graph.n_heads]
            z = z.unflatten(0, (n_layers, -1)).permute(2, 0, 1)
            taken = self._normed.coefficients(z)
            added: Tensor = _ReadTerms.apply(self._token, taken, self._terms)  # type: ignore[no-untyped-call]
            rows = rows + added.transpose(0, 1)
        shape = (self.stream.n_batch, self.stream.n_pos)
        return rows.unflatten(1, shape).to(self.model.dtype)
