"""Weights of small GPT-2 models, written feature by feature.

The residual stream is divided into named features (the one-hot token, the one-hot position, and
whatever the model computes). Every number is stored twice, once negated in the other half of the
stream, so that the stream always has mean zero. With an epsilon of 1e12 and a gain of 1e6, a layer
norm then is the identity: the variance of the stream (below 1e3 here) is lost beside the epsilon in
float32, and changes the result by less than 1e-9 in float64.

Attention scores are `SHARPNESS` where a query meets its key and 0 elsewhere, so that attention is
one-hot up to exp(-SHARPNESS) = 2e-22.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

SHARPNESS = 50.0
EPSILON = 1e12

Place = Float[Tensor, "feature stream"]


class Builder:
    """A GPT-2 model under construction; all weights are zero until they are written."""

    def __init__(
        self,
        vocabulary: Sequence[str],
        n_positions: int,
        features: Mapping[str, int],
        *,
        n_layers: int = 2,
        n_heads: int = 2,
    ) -> None:
        """Lay out the residual stream.

        Args:
            vocabulary: Tokens; the one-hot feature `token` has one entry per token.
            n_positions: Longest prompt; the feature `position` has one entry per position.
            features: Further features and their widths.
            n_layers: Blocks.
            n_heads: Heads per block, an even number.
        """
        widths = {"token": len(vocabulary), "position": n_positions, "one": 1, **features}
        self.d_head = max(*widths.values(), -(-2 * sum(widths.values()) // n_heads)) + 1
        d_model = n_heads * self.d_head
        self.places: dict[str, Place] = {}
        start = 0
        for name, width in widths.items():
            place = torch.zeros(width, d_model)
            index = torch.arange(width)
            place[index, start + index] = 1.0
            place[index, d_model // 2 + start + index] = -1.0
            self.places[name] = place
            start += width
        self.model: Any = _empty_model(len(vocabulary), n_positions, d_model, n_layers, n_heads)
        self._write(self.model.transformer.wte.weight, self.places["token"])
        self._write(self.model.transformer.wpe.weight, self.places["position"])
        self._write(self.model.transformer.wpe.weight, self.places["one"].expand(n_positions, -1))

    def read(self, feature: str) -> Float[Tensor, "stream feature"]:
        """The map from the stream to a feature."""
        return self.places[feature].T / 2

    def head(
        self,
        layer: int,
        head: int,
        *,
        queries: Sequence[tuple[str, Tensor]] = (),
        keys: Sequence[tuple[str, Tensor]] = (),
        value: tuple[str, Tensor],
        out: str,
    ) -> None:
        """Write a head: a query and a key meet where their maps lead to the same entries.

        Args:
            layer: Its block.
            head: Its number there.
            queries: Features and maps [feature, entry] whose sum is the query.
            keys: Features and maps [feature, entry] whose sum is the key.
            value: The feature it moves and a map [feature, out feature].
            out: The feature it adds to.
        """
        attention = self.model.transformer.h[layer].attn
        d_model, rows = (
            self.model.config.n_embd,
            slice(head * self.d_head, (head + 1) * self.d_head),
        )
        for kind, parts in enumerate((queries, keys, [value])):
            for feature, table in parts:
                written = self.read(feature) @ table
                start = kind * d_model + rows.start
                self._write(attention.c_attn.weight[:, start : start + table.shape[1]], written)
        place = self.places[out]
        start = rows.start
        self._write(attention.c_proj.weight[start : start + len(place)], place)

    def mlp(
        self,
        layer: int,
        neurons: Sequence[tuple[Mapping[tuple[str, int], float], float, tuple[str, int]]],
    ) -> None:
        """Write ReLU neurons.

        Args:
            layer: The block.
            neurons: Per neuron, weights of feature entries, a bias, and the feature entry that its
                activation is added to.
        """
        mlp = self.model.transformer.h[layer].mlp
        for number, (weights, bias, (out, entry)) in enumerate(neurons):
            with torch.no_grad():
                mlp.c_fc.bias[number] = bias
            for (feature, at), weight in weights.items():
                column = self.read(feature)[:, at] * weight
                self._write(mlp.c_fc.weight[:, number], column)
            self._write(mlp.c_proj.weight[number], self.places[out][entry])

    def unembed(self, token: int, feature: str, entry: int, weight: float = 1.0) -> None:
        """Add a multiple of a feature's entry to a token's logit."""
        self._write(self.model.lm_head.weight[token], self.read(feature)[:, entry] * weight)

    @staticmethod
    def _write(parameter: Tensor, values: Tensor) -> None:
        with torch.no_grad():
            parameter.add_(values)


def _empty_model(
    n_words: int, n_positions: int, d_model: int, n_layers: int, n_heads: int
) -> GPT2LMHeadModel:
    """A model whose norms are the identity and whose other weights are zero."""
    config = GPT2Config(
        vocab_size=n_words,
        n_positions=n_positions,
        n_embd=d_model,
        n_layer=n_layers,
        n_head=n_heads,
        n_inner=64,
        activation_function="relu",
        layer_norm_epsilon=EPSILON,
        scale_attn_weights=False,
        tie_word_embeddings=False,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "ln_" in name and name.endswith("weight")
            parameter.fill_(EPSILON**0.5 if norm else 0.0)
    return model


def one_to(entries: int, rows: int = 1, scale: float = 1.0, at: int = 0) -> Tensor:
    """A map that leads each of some rows to one entry."""
    table = torch.zeros(rows, entries)
    table[:, at] = scale
    return table


def shift(size: int, by: int, scale: float = 1.0) -> Tensor:
    """The map from each entry to the one `by` further on, where there is one."""
    return torch.diag(torch.ones(size - abs(by)), by) * scale
