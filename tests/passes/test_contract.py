"""Differences times gradients: into the logits by hand, in chunks of any size, through a post-norm."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import tiny_model, token_batches
from torch import Tensor

from harness_circuits.passes import contract
from harness_circuits.passes.contract import (
    Delta,
    apply_jacobian_,
    contract_edges,
    delta_between,
    fill,
    tokens_per_chunk,
)
from harness_circuits.passes.gradients import (
    DESTINATION_POINTS,
    DestinationGradients,
    add_destination_gradients,
    run_with_gradients,
)
from harness_circuits.passes.native import outputs_of, record


def parts(architecture: str) -> tuple[Delta, DestinationGradients]:
    model, (batch,) = tiny_model(architecture), token_batches()
    seen, _ = record(model, batch.clean)
    other, _ = record(model, batch.corrupted)
    clean, new = outputs_of(model, batch.clean, seen), outputs_of(model, batch.corrupted, other)
    gradients = DestinationGradients()
    run = run_with_gradients(model, batch.clean, lambda x: x[:, -1, 3], DESTINATION_POINTS)
    add_destination_gradients(gradients, model, run, 1.0)
    return delta_between(clean, new, model.sum_dtype), gradients


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gpt_neox"])
def test_into_the_logits_a_score_is_minus_difference_times_gradient(architecture: str) -> None:
    model, (delta, gradients) = tiny_model(architecture), parts(architecture)
    graph, final = model.graph, gradients.final
    out = torch.zeros((graph.n_src, graph.n_dst), dtype=torch.float64)
    contract_edges(model, delta, gradients, out)
    assert final is not None
    torch.testing.assert_close(out[0, -1], -(delta.embedded * final).sum())
    for index, layer in enumerate(model.layers):
        torch.testing.assert_close(
            out[graph.mlp_source(index), -1], -(delta.mlp[index] * final).sum()
        )
        for head in range(graph.n_heads):
            moved = delta.mixed[index][:, head] @ layer.w_o[head]
            found = out[graph.head_source(index) + head, -1]
            torch.testing.assert_close(found, -(moved * final).sum())
    assert (out[torch.from_numpy(~graph.edge_mask)] == 0).all()


def test_chunks_and_sources_one_by_one_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (delta, gradients) = tiny_model("llama"), parts("llama")
    graph = model.graph
    whole = torch.zeros((graph.n_src, graph.n_dst), dtype=torch.float64)
    contract_edges(model, delta, gradients, whole)
    monkeypatch.setattr(contract, "CHUNK_BYTES", 1)
    assert tokens_per_chunk(model, 24, 9) == 1
    sites = [slice(0, 1), *(graph.head_slice(i) for i in range(graph.n_layers))]
    sites += [slice(graph.mlp_source(i), graph.mlp_source(i) + 1) for i in range(graph.n_layers)]
    found = torch.zeros_like(whole)
    for site in sites:
        contract_edges(model, delta, gradients, found, None, site)
    torch.testing.assert_close(found, whole)


@pytest.mark.parametrize("architecture", ["gemma2", "olmo2"])
def test_a_post_norm_is_passed_by_its_jacobian(architecture: str) -> None:
    norm = tiny_model(architecture).layers[0].post_attention
    assert norm is not None
    at = torch.randn(3, norm.gain.numel(), dtype=torch.float64)
    x = torch.randn_like(at)
    found = x.clone()
    apply_jacobian_(norm, at, found)

    def scaled(point: Tensor) -> Tensor:
        return point * norm.inverse_scale(point) * norm.gain.to(point)

    _, wanted = torch.autograd.functional.jvp(scaled, at, x)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)
    frozen = x.clone()
    apply_jacobian_(norm, at, frozen, frozen=True)
    torch.testing.assert_close(frozen, x * norm.inverse_scale(at) * norm.gain.to(x))


def test_rows_are_filled_for_the_sources_that_are_wanted() -> None:
    model, (delta, _) = tiny_model("gpt2"), parts("gpt2")
    graph, n = model.graph, delta.embedded.shape[0]
    everything = delta.embedded.new_empty((graph.n_src, n, graph.d_model))
    fill(model, delta, slice(0, n), everything)
    heads = graph.head_slice(1)
    some = everything.new_empty((graph.n_heads, 2, graph.d_model))
    fill(model, delta, slice(3, 5), some, sources=heads)
    torch.testing.assert_close(some, everything[heads, 3:5])
