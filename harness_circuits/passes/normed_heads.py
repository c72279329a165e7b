"""What a layer's heads add to the stream behind a post-norm, for any mixture of current and replaced.

In post-norm models a destination reads norm(raw + sum over heads h of z_h D_h) of each earlier layer:
raw the replaced head results added up, D_h current minus replaced, z_h its own shares. To normalise
each destination's sum anew would be many passes over residual-sized tensors for each of these layers. But
the norm's scale is a quadratic form in z of a few numbers per token, the inner products of raw and all
D_h, and the rest is linear:

    norm(x) - norm(raw) = (s - s0) g raw + sum over h of  s z_h g D_h
    s = (x'x / d + eps)^-1/2,   s0 the same of raw,   g the norm's gain

(the norm's bias cancels; a LayerNorm centres raw and D_h first). So one matrix product per token mixes
all layers at once, from terms that are stored once: g raw and g D_h, divided by the size of the largest
of raw and D_h at that token, so that half precision holds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_circuits.models.circuit_model import CircuitModel


class HeadTerms:
    """Which terms there are, worked out once per circuit.

    Attributes:
        n_terms: How many terms the first n layers have, for every n from 0.
        width: Of what is kept of every layer: raw and all heads, whether they are left out or not.
        places: Where each term's coefficient is among those of all layers' raw and heads.
        eps: Of every layer's norm.
    """

    def __init__(
        self,
        heads: Sequence[Int[np.ndarray, "head"]],
        n_heads: int,
        eps: Sequence[float],
        like: Tensor,
    ) -> None:
        """Number them.

        Args:
            heads: Per layer, the heads whose D are given; a layer without any has no terms.
            n_heads: All heads of a layer.
            eps: Of every layer's norm.
            like: Where activations are, and their dtype.
        """
        self.width = 1 + n_heads
        own = [np.array([0, *(1 + some)] if len(some) else [], dtype=int) for some in heads]
        self.n_terms = np.cumsum([0, *map(len, own)]).tolist()
        places = np.concatenate([layer * self.width + some for layer, some in enumerate(own)])
        self.places = torch.from_numpy(places).to(like.device)
        dtype = torch.promote_types(like.dtype, torch.float32)
        self.eps = torch.tensor(eps, dtype=dtype).to(like.device)[:, None, None]

    def of_layer(self, index: int) -> slice:
        """Which terms are a layer's."""
        return slice(self.n_terms[index], self.n_terms[index + 1])


class NormedHeads:
    """What mixtures of all layers seen so far need: inner products of what is mixed.

    Attributes:
        terms: Which terms there are.
    """

    def __init__(self, model: CircuitModel, terms: HeadTerms) -> None:
        """Start with no layer seen."""
        self._model, self.terms = model, terms
        self._products: dict[int, Float[Tensor, "token pair"]] = {}
        self._sizes: dict[int, Float[Tensor, "token"]] = {}

    def see(
        self,
        index: int,
        raw: Float[Tensor, "token model"],
        differences: Float[Tensor, "head token model"],
    ) -> Float[Tensor, "token term model"]:
        """Note a layer's inner products, and return its terms.

        Args:
            index: The layer, whose heads are not all left out.
            raw: The replaced head results added up, with the output bias.
            differences: Current minus replaced results of its heads.
        """
        norm = self._model.layers[index].post_attention
        assert norm is not None
        values = torch.cat([raw.to(differences.dtype)[None], differences]).transpose(0, 1)
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        if norm.centred:
            values = values - values.mean(-1, keepdim=True)
        own = values @ values.transpose(1, 2) / values.shape[-1]
        size = (own.detach().diagonal(dim1=1, dim2=2).amax(1) + norm.eps).sqrt()
        width = self.terms.width
        places = self.terms.places[self.terms.of_layer(index)] - index * width
        products = values.new_zeros((len(values), width, width))
        products[:, places[:, None], places] = own
        self._products[index], self._sizes[index] = products.flatten(1), size
        return values * (norm.wide_gain.to(values) / size[:, None, None])

    def coefficients(
        self, z: Float[Tensor, "dst layer head"], tokens: Int[Tensor, "some"] | None = None
    ) -> Float[Tensor, "token dst term"]:
        """What every destination takes of the terms of the first layers.

        Args:
            z: The share of every head's D that a destination reads, of all layers that it sees.
            tokens: At which tokens; all by default.
        """
        n_layers = z.shape[1]
        products, sizes = self._stacked(n_layers)
        if tokens is not None:
            products, sizes = products[:, tokens], sizes[:, tokens]
        z = z.to(products.dtype)
        taken = torch.cat([torch.ones_like(z[..., :1]), z], -1)
        pairs = torch.einsum("dls,dlr->lsrd", taken, taken).flatten(1, 2)
        eps = self.terms.eps[:n_layers]
        # Raw's square apart: where nothing is kept, the scales are the same in any precision of products.
        square = products[..., :1] + products[..., 1:] @ pairs[:, 1:]
        scale = sizes * (square.clamp(min=0) + eps).rsqrt()
        of_raw = scale - sizes * (products[..., :1].clamp(min=0) + eps).rsqrt()
        of_heads = torch.einsum("ltd,dlh->ltdh", scale, z)
        both = torch.cat([of_raw.unsqueeze(-1), of_heads], -1).permute(1, 2, 0, 3).flatten(2)
        return both[..., self.terms.places[: self.terms.n_terms[n_layers]]]

    def _stacked(
        self, n_layers: int
    ) -> tuple[Float[Tensor, "layer token pair"], Float[Tensor, "layer token 1"]]:
        """Inner products and sizes of the first layers; zeros and ones where all heads are left out."""
        products, sizes = (next(iter(x.values())) for x in (self._products, self._sizes))
        none, one = torch.zeros_like(products), torch.ones_like(sizes)
        layers = range(n_layers)
        return (
            torch.stack([self._products.get(index, none) for index in layers]),
            torch.stack([self._sizes.get(index, one) for index in layers]).unsqueeze(-1),
        )


@lru_cache(maxsize=8)
def all_heads(
    n_layers: int, n_heads: int, eps: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> HeadTerms:
    """The terms of all heads of a model; arguments as in `HeadTerms`."""
    like = torch.empty((), dtype=dtype, device=device)
    return HeadTerms([np.arange(n_heads)] * n_layers, n_heads, eps, like)


def post_norm_eps(model: CircuitModel) -> tuple[float, ...]:
    """The eps of every layer's norm behind attention; empty where there is none."""
    norms = [layer.post_attention for layer in model.layers]
    return tuple(norm.eps for norm in norms if norm is not None)
