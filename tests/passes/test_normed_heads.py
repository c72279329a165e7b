"""Mixtures of heads behind post-norms: one product per token against the norm of every sum."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from helpers.reference_model import exact_float64
from helpers.tiny_models import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.models.norms import read_norm
from harness_circuits.passes.normed_heads import HeadTerms, NormedHeads, post_norm_eps

N_TOKENS, N_DST = 5, 4


def terms_for(model: CircuitModel, heads: list[np.ndarray]) -> HeadTerms:
    like = torch.empty((), dtype=torch.float64)
    return HeadTerms(heads, model.graph.n_heads, post_norm_eps(model), like)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_by_one(model: CircuitModel, z: Tensor, raw: Tensor, differences: Tensor) -> Tensor:
    """The norm of every destination's sum, less that of the replaced one: [token, dst, model]."""
    total = torch.zeros(N_TOKENS, len(z), model.graph.d_model, dtype=torch.float64)
    for index in range(z.shape[1]):
        norm = model.layers[index].after_attention
        mixed = raw[index, :, None] + torch.einsum("dh,htm->tdm", z[:, index], differences[index])
        total = total + norm(mixed) - norm(raw[index])[:, None]
    return total


def by_terms(
    model: CircuitModel, z: Tensor, raw: Tensor, differences: Tensor, heads: list[np.ndarray]
) -> Tensor:
    normed = NormedHeads(model, terms_for(model, heads))
    layers = [index for index in range(z.shape[1]) if len(heads[index])]
    seen = [normed.see(index, raw[index], differences[index][heads[index]]) for index in layers]
    return normed.coefficients(z) @ torch.cat(seen, 1)


def centred(model: CircuitModel) -> CircuitModel:
    """The same model with LayerNorms that have a bias behind attention."""
    made = copy.copy(model)
    made.layers = []
    for index, layer in enumerate(model.layers):
        width = model.graph.d_model
        module = nn.LayerNorm(width, eps=1e-3).double()
        with torch.no_grad():
            module.weight.copy_(draw(width, seed=index))
            module.bias.copy_(draw(width, seed=9 + index))
        other = copy.copy(layer)
        other.post_attention = read_norm(module, width, "norm")
        made.layers.append(other)
    return made


@pytest.mark.parametrize("architecture", ["gemma2", "olmo2", "LayerNorm"])
@given(seed=st.integers(0, 10**6), n_layers=st.integers(1, 2), hard=st.booleans())
@settings(max_examples=20, deadline=None)
def test_terms_mix_to_the_norm_of_every_sum(
    architecture: str, seed: int, n_layers: int, hard: bool
) -> None:
    """Values and gradients, with some heads left out, and some of these a layer's all."""
    model = tiny_model("olmo2" if architecture == "LayerNorm" else architecture)
    model = centred(model) if architecture == "LayerNorm" else model
    graph, random = model.graph, np.random.default_rng(seed)
    z = torch.from_numpy(random.random((N_DST, n_layers, graph.n_heads)))
    z = (z < 0.5).double() if hard else z
    left_out = random.random((graph.n_layers, graph.n_heads)) < 0.3
    left_out[0, 0] = False  # something is there
    z[:, torch.from_numpy(left_out[:n_layers])] = 0
    heads = [np.flatnonzero(~row) for row in left_out]
    raw = draw(n_layers, N_TOKENS, graph.d_model, seed=seed).requires_grad_()
    each = draw(n_layers, graph.n_heads, N_TOKENS, graph.d_model, seed=seed + 1).requires_grad_()
    z.requires_grad_()
    with exact_float64():
        wanted = one_by_one(model, z, raw, each)
        found = by_terms(model, z, raw, each, heads)
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
        along = draw(*wanted.shape, seed=seed + 2)
        for one, other in zip(
            torch.autograd.grad(found, (raw, each), along, retain_graph=True),
            torch.autograd.grad(wanted, (raw, each), along, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
        of_z, expected = (torch.autograd.grad(x, z, along)[0] for x in (found, wanted))
    kept = torch.from_numpy(~left_out[:n_layers])
    torch.testing.assert_close(of_z[:, kept], expected[:, kept], rtol=0, atol=1e-9)


def test_what_keeps_nothing_adds_exactly_nothing_and_tokens_are_independent() -> None:
    model = tiny_model("gemma2")
    graph = model.graph
    heads = [np.arange(graph.n_heads)] * graph.n_layers
    normed = NormedHeads(model, terms_for(model, heads))
    for index in range(graph.n_layers):
        raw = draw(N_TOKENS, graph.d_model, seed=index)
        normed.see(index, raw, draw(graph.n_heads, N_TOKENS, graph.d_model, seed=7 + index))
    z = torch.zeros(2, graph.n_layers, graph.n_heads, dtype=torch.float64)
    z[1] = 0.5
    taken = normed.coefficients(z)
    assert not taken[:, 0].any() and taken[:, 1].all()
    some = torch.tensor([3, 1])
    torch.testing.assert_close(normed.coefficients(z, some), taken[some], rtol=0, atol=0)


def test_half_precision_holds_the_terms_of_large_outputs() -> None:
    """Norms are behind heads to tame what float16 cannot hold."""
    model = tiny_model("gemma2")
    graph = model.graph
    heads = [np.arange(graph.n_heads)] * graph.n_layers
    normed = NormedHeads(model, terms_for(model, heads))
    raw = 1e6 * draw(N_TOKENS, graph.d_model, seed=1)
    terms = normed.see(0, raw, 1e5 * draw(graph.n_heads, N_TOKENS, graph.d_model, seed=2))
    assert raw.abs().max() > torch.finfo(torch.float16).max
    assert terms.half().isfinite().all() and terms.half().abs().max() > 0.1
