"""From output differences and gradients to scores: one matrix product per destination block.

    score(u -> v) = - sum over examples, positions and d_model of  D_u * d metric / d input_v

with D_u = replacement_u - clean_u, so that a positive score means the metric falls when the edge
is corrupted. Tokens (batch times positions) are worked through in chunks of bounded size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.models.norms import Norm
from harness_circuits.passes.gradients import DestinationGradients, OutputGradients
from harness_circuits.passes.native import Outputs, hidden_of

PostNorm = Literal["jacobian", "frozen", "skipped"]
Tokens = slice | Int[Tensor, "token"]  # which of a batch's tokens

CHUNK_BYTES = 64 * 2**20  # larger chunks are no faster


@dataclass(frozen=True)
class Delta:
    """Replacement minus clean output of every source, heads as mixed values.

    Attributes:
        embedded: [token, model].
        mixed: Per layer [token, head, d_head].
        mlp: Per layer [token, model].
        hidden: Per layer [token, d_mlp], the hidden units of MLPs; None where they are not wanted.
    """

    embedded: Float[Tensor, "token model"]
    mixed: list[Float[Tensor, "token head d_head"]]
    mlp: list[Float[Tensor, "token model"]]
    hidden: list[Float[Tensor, "token hidden"]] | None = None


def delta_between(clean: Outputs, replacement: Outputs, dtype: torch.dtype) -> Delta:
    """Replacement minus clean, with batch and positions flattened."""

    def difference(a: Tensor, b: Tensor) -> Tensor:
        return (a.to(dtype) - b.to(dtype)).flatten(0, 1)

    hidden = None
    if clean.hidden is not None:
        pairs = zip(hidden_of(replacement), clean.hidden, strict=True)
        hidden = [difference(r, c) for r, c in pairs]
    return Delta(
        difference(replacement.embedded, clean.embedded),
        [difference(r, c) for r, c in zip(replacement.mixed, clean.mixed, strict=True)],
        [difference(r, c) for r, c in zip(replacement.mlp, clean.mlp, strict=True)],
        hidden,
    )


def contract_edges(
    model: CircuitModel,
    delta: Delta,
    gradients: DestinationGradients,
    out: Float[Tensor, "*span src dst"],
    attention: dict[int, Tensor] | None = None,
    sources: slice | None = None,
    *,
    raw_heads: bool = False,
    spans: Int[Tensor, "batch pos"] | None = None,
) -> None:
    """Add the edge scores of one batch to `out`, in place.

    Args:
        model: The model.
        delta: Output differences.
        gradients: Gradients, summed over runs.
        out: Score sums; entries without an edge are left alone.
        attention: Per layer, the summed head results [batch, pos, model] of the run whose gradients
            these are; wanted in post-norm models, where a head moves the residual stream through
            the Jacobian of the post-norm there.
        sources: Score only these sources: the input, all heads of a layer or an MLP, or several
            such neighbours.
        raw_heads: Take heads' outputs as they are before a post-norm.
        spans: The span of each token, where `out` has sums for every span.
    """
    graph = model.graph
    model.counts["contraction"] += 1
    wanted = sources or slice(0, graph.n_src)
    n_src = wanted.stop - wanted.start
    n_tokens = delta.embedded.shape[0]
    step = tokens_per_chunk(model, n_tokens, n_src + graph.destinations_per_layer)
    store = delta.embedded.new_empty(n_src * step * graph.d_model)
    post_norm: PostNorm = "frozen" if gradients.frozen_norms else "jacobian"
    post_norm = "skipped" if raw_heads else post_norm
    for tokens, n, sums in _chunks(n_tokens, step, out, spans):
        shape = (n_src, n, graph.d_model)
        chunk = store[: math.prod(shape)].view(shape)
        fill(model, delta, tokens, chunk, attention, post_norm=post_norm, sources=wanted)
        flat = chunk.view(n_src, -1)
        for columns, visible, gradient in _blocks(model, gradients, tokens):
            rows = slice(wanted.start, min(wanted.stop, visible))
            if rows.start < rows.stop:
                seen = flat[: rows.stop - rows.start]
                sums[rows, columns] -= (seen @ gradient.flatten(1).T).to(out.dtype)


def _chunks(
    n_tokens: int,
    step: int,
    out: Float[Tensor, "*span src dst"],
    spans: Int[Tensor, "batch pos"] | None,
) -> Iterator[tuple[Tokens, int, Float[Tensor, "src dst"]]]:
    """Tokens in chunks, how many they are, and what their products are added to."""
    if spans is None:
        for first in range(0, n_tokens, step):
            last = min(first + step, n_tokens)
            yield slice(first, last), last - first, out
        return
    flat = spans.flatten().to(out.device)
    for number in flat.unique().tolist():
        for part in (flat == number).nonzero().flatten().split(step):
            yield part, len(part), out[number]


def tokens_per_chunk(model: CircuitModel, n_tokens: int, rows: int) -> int:
    """How many tokens to take at once where each needs some rows of d_model numbers."""
    per_token = rows * model.graph.d_model * torch.finfo(model.sum_dtype).bits // 8
    return min(n_tokens, max(1, CHUNK_BYTES // per_token))


def fill(
    model: CircuitModel,
    delta: Delta,
    tokens: Tokens,
    out: Float[Tensor, "src token model"],
    attention: dict[int, Tensor] | None = None,
    *,
    post_norm: PostNorm = "jacobian",
    sources: slice | None = None,
) -> None:
    """Write what sources' differences do to the residual stream, for some tokens.

    Args:
        model: The model.
        delta: Output differences.
        tokens: Which.
        out: Where to write.
        attention: See `contract_edges`.
        post_norm: How a head's difference passes a post-norm: by its Jacobian, by its scale alone
            (`frozen`), or not at all.
        sources: The sources `out` has room for; by default all.
    """
    graph = model.graph
    wanted = sources or slice(0, graph.n_src)

    def rows(group: slice) -> Tensor | None:
        inside = wanted.start <= group.start and group.stop <= wanted.stop
        return out[group.start - wanted.start : group.stop - wanted.start] if inside else None

    if (room := rows(slice(0, 1))) is not None:
        room[0] = delta.embedded[tokens]
    for index, layer in enumerate(model.layers):
        if (heads := rows(graph.head_slice(index))) is not None:
            mixed = delta.mixed[index][tokens].transpose(0, 1)
            torch.bmm(mixed, layer.w_o.to(mixed), out=heads)
            if layer.post_attention is not None and post_norm != "skipped":
                assert attention is not None
                at = attention[index].flatten(0, 1)[tokens].to(heads.dtype)
                apply_jacobian_(layer.post_attention, at, heads, frozen=post_norm == "frozen")
        mlp = graph.mlp_source(index)
        if (room := rows(slice(mlp, mlp + 1))) is not None:
            room[0] = delta.mlp[index][tokens]


def apply_jacobian_(
    norm: Norm,
    at: Float[Tensor, "token model"],
    x: Float[Tensor, "*h token model"],
    *,
    frozen: bool = False,
) -> None:
    """Multiply x by the Jacobian of an RMSNorm at a point, in place; frozen: at constant scale."""
    inverse = norm.inverse_scale(at)
    if not frozen:
        unit = at * inverse
        along = (x * unit).mean(-1, keepdim=True)
        x.addcmul_(unit, along, value=-1)
    x.mul_(inverse * norm.gain.to(x))


def _blocks(
    model: CircuitModel, gradients: DestinationGradients, tokens: Tokens
) -> Iterator[tuple[slice, int, Tensor]]:
    """Per destination block: columns, how many sources it sees, gradients [dst, token, model]."""
    graph = model.graph
    for index in gradients.scaled:
        columns = graph.attention_slice(index)
        yield (
            columns,
            int(graph.n_visible[columns.start]),
            _attention(model, gradients, index, tokens),
        )
        mlp = graph.mlp_destination(index)
        gradient = gradients.mlp_in[index][tokens][None]
        yield slice(mlp, mlp + 1), int(graph.n_visible[mlp]), gradient.to(model.sum_dtype)
    assert gradients.final is not None
    last = slice(graph.n_dst - 1, graph.n_dst)
    yield last, graph.n_src, gradients.final[tokens][None].to(model.sum_dtype)


def _attention(
    model: CircuitModel, gradients: DestinationGradients, index: int, tokens: Tokens
) -> Float[Tensor, "dst token model"]:
    """Gradients at a layer's query, key and value inputs."""
    layer, graph = model.layers[index], model.graph
    scaled = gradients.scaled[index]
    n_tokens = scaled["q"][tokens].shape[0]
    out = scaled["q"].new_empty((graph.destinations_per_layer - 1, n_tokens, graph.d_model))
    start = 0
    for kind, gradient in scaled.items():
        heads = gradient.shape[1]
        weight = layer.folded[kind][0].to(gradient)
        group = heads // weight.shape[0]
        if group > 1:
            weight = weight.repeat_interleave(group, dim=0)
        torch.bmm(gradient[tokens].transpose(0, 1), weight, out=out[start : start + heads])
        start += heads
    for correction in gradients.corrections[index]:
        factor = correction.factor[tokens].T.unsqueeze(-1)
        out.addcmul_(factor, correction.direction[tokens], value=-1)
    return out


def contract_outputs(
    model: CircuitModel,
    delta: Delta,
    gradients: OutputGradients,
    *,
    neurons: bool,
) -> Float[Tensor, "src *model"]:
    """Node scores [src], or neuron scores [src, model], of one batch; 0 for skipped layers."""
    graph, dtype = model.graph, model.sum_dtype
    model.counts["contraction"] += 1
    out = torch.zeros((graph.n_src, graph.d_model), dtype=dtype, device=delta.embedded.device)
    out[0] = (delta.embedded * gradients.embedded.flatten(0, 1).to(dtype)).sum(0)
    for index, gradient in gradients.attention.items():
        layer, mixed = model.layers[index], delta.mixed[index]
        gradient = gradient.flatten(0, 1).to(dtype)
        product = (mixed.flatten(1).T @ gradient).unflatten(0, mixed.shape[1:])
        out[graph.head_slice(index)] = (product * layer.w_o.to(product)).sum(1)
        mlp = gradients.mlp[index].flatten(0, 1).to(dtype)
        out[graph.mlp_source(index)] = (delta.mlp[index] * mlp).sum(0)
    return -out if neurons else -out.sum(1)


def contract_hidden(
    model: CircuitModel,
    delta: Delta,
    gradients: dict[int, Tensor],
    weight: float,
    out: Float[Tensor, "layer hidden"],
    layers: slice | None = None,
) -> None:
    """Add the scores of MLPs' hidden units in one batch to `out`, in place.

    Args:
        model: The model.
        delta: Output differences, hidden units among them.
        gradients: Per layer that was run, gradients at its hidden units [batch, pos, d_mlp].
        weight: What they enter with.
        out: Score sums.
        layers: Score only these; by default all.
    """
    assert delta.hidden is not None
    model.counts["contraction"] += 1
    for index in range(model.graph.n_layers)[layers or slice(None)]:
        if index in gradients:
            gradient = gradients[index].flatten(0, 1).to(model.sum_dtype)
            product = (delta.hidden[index] * gradient).sum(0)
            out[index] -= weight * product.to(out.dtype)
