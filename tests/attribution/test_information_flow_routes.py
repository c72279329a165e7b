"""Information flow routes against their formula, token by token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.reference_cases import (
    exact_case,
)
from helpers.tiny_models import (
    ARCHITECTURES,
    GROUPED_ARCHITECTURES,
    random_hf,
    tiny_model,
    token_batches,
)
from torch import Tensor

from harness_circuits.ablation import ABLATIONS
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.scores import Level
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.tokenise import TokenPair
from harness_circuits.passes import contract
from harness_circuits.passes.contract import Delta, fill
from harness_circuits.passes.native import OUTPUTS, outputs_of, record

LOGIT_DIFF = METRICS.get("logit_diff")
EDGE: Level = "edge"


def flow(architecture: str, **options: str) -> np.ndarray:
    job = Job(tiny_model(architecture), token_batches(), LOGIT_DIFF)
    return attribute(job, "information-flow-routes", **options).values


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_flow_is_its_formula(architecture: str) -> None:
    """Token by token and source by source, on the model's own record of the clean run."""
    model, (batch,) = tiny_model(architecture), token_batches()
    graph = model.graph
    seen, _ = record(model, batch.clean, (*OUTPUTS, "mlp_in", "final"))
    outputs = outputs_of(model, batch.clean, seen)
    sources = [outputs.embedded]
    for layer in range(graph.n_layers):
        parts = zip(outputs.mixed[layer].unbind(2), model.layers[layer].w_o, strict=True)
        sources += [z @ w for z, w in parts] + [outputs.mlp[layer]]
    inputs: dict[int, Tensor] = {graph.n_dst - 1: seen["final"][graph.n_layers - 1]}
    for layer in range(graph.n_layers):
        for column in range(graph.attention_slice(layer).start, graph.mlp_destination(layer)):
            inputs[column] = seen["block_in"][layer]
        inputs[graph.mlp_destination(layer)] = seen["mlp_in"][layer]
    got = flow(architecture)
    for column, x in inputs.items():
        visible = sources[: graph.n_visible[column]]
        near = torch.stack(
            [(x.abs().sum(-1) - (x - a).abs().sum(-1)).clamp(min=0) for a in visible]
        )
        share = torch.where(near.sum(0) > 0, near / near.sum(0), 0)
        np.testing.assert_allclose(got[: len(visible), column], share.mean((1, 2)), atol=1e-12)
    assert (got >= 0).all() and (got.sum(0) <= 1 + 1e-12).all()


@pytest.mark.parametrize("architecture", GROUPED_ARCHITECTURES)
def test_flow_into_shared_keys_and_values_is_that_into_each(architecture: str) -> None:
    grouped = tiny_model(architecture, kv_heads="grouped")
    found = attribute(Job(grouped, token_batches(), LOGIT_DIFF), "information-flow-routes").values
    apart = flow(architecture)
    columns = dict(zip(tiny_model(architecture).graph.destination_names, apart.T, strict=True))
    for name, column in zip(grouped.graph.destination_names, found.T, strict=True):
        np.testing.assert_allclose(column, columns[name], atol=1e-12)


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_flow_depends_on_no_ablation(ablation: str) -> None:
    with exact_case("gemma2-grouped") as case:
        job = Job(case.model, [case.batch], LOGIT_DIFF, EDGE, case.ablation(ablation))
        found = attribute(job, "information-flow-routes").values
        usual = Job(case.model, [case.batch], LOGIT_DIFF)
        np.testing.assert_array_equal(found, attribute(usual, "information-flow-routes").values)


def test_flow_where_no_source_is_close() -> None:
    """Under a large position embedding the input of layer 0 has no close source: shares are 0."""
    hf = random_hf("gpt2").double()
    hf.transformer.wpe.weight.data[::2] = -hf.transformer.wte.weight.data[:32]  # type: ignore[union-attr]
    hf.transformer.wpe.weight.data[1::2] = 0  # type: ignore[union-attr]
    pair = TokenPair((0, 5, 1, 7), (0, 6, 1, 7), ((1,), (2,)), (0,), (1,))
    job = Job(take_apart(hf, name="positions"), make_batches([pair], 1), LOGIT_DIFF)
    got = attribute(job, "information-flow-routes").values
    assert np.isfinite(got).all()
    # At even positions token and position embedding cancel, so that |x| - |x - a| < 0.
    np.testing.assert_allclose(got[0, job.model.graph.attention_slice(0)], 0.5)


def test_flow_of_normed_heads_adds_up_to_the_stream() -> None:
    for architecture in ("llama", "gpt2"):
        normed, raw = flow(architecture, head_outputs="normed"), flow(architecture)
        np.testing.assert_array_equal(normed, raw)
    model, (batch,) = tiny_model("gemma2"), token_batches()
    assert np.abs(flow("gemma2", head_outputs="normed") - flow("gemma2")).max() > 1e-3
    seen, _ = record(model, batch.clean, (*OUTPUTS, "attention", "final"))
    outputs = outputs_of(model, batch.clean, seen)
    parts = Delta(
        outputs.embedded.flatten(0, 1),
        [x.flatten(0, 1) for x in outputs.mixed],
        [x.flatten(0, 1) for x in outputs.mlp],
    )
    n = parts.embedded.shape[0]
    rows = parts.embedded.new_empty((model.graph.n_src, n, model.graph.d_model))
    fill(model, parts, slice(0, n), rows, seen["attention"], post_norm="frozen")
    final = seen["final"][model.graph.n_layers - 1].flatten(0, 1)
    torch.testing.assert_close(rows.sum(0), final, rtol=0, atol=1e-5)


def test_flow_takes_bounded_chunks_and_ignores_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = flow("olmo2", head_outputs="normed")
    monkeypatch.setattr(contract, "CHUNK_BYTES", 1)
    np.testing.assert_allclose(flow("olmo2", head_outputs="normed"), whole, atol=1e-12)
    pair = TokenPair((3, 5, 8, 13), (3, 6, 9, 13), ((1, 2, 3), (4, 9)), (0,), (1,))
    for architecture in ("gpt2", "gemma2"):
        found = []
        for whole_answers in (True, False):
            batches = make_batches([pair], 1, whole_answers=whole_answers)
            job = Job(tiny_model(architecture), batches, LOGIT_DIFF)
            scores = attribute(job, "information-flow-routes", head_outputs="normed")
            found.append(scores.values)
        np.testing.assert_allclose(*found, atol=1e-5)
