"""AtP*: attention recomputed by plain arithmetic, gradients dropped by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import Reference, exact_float64, gate_gradient
from helpers.reference_cases import BY_HAND, CASES, PAIRS, Case, clean, exact_case
from helpers.tiny_models import random_hf, token_batches
from torch import Tensor

from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.atp_star import DropRun
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Level
from harness_circuits.errors import OptionError
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.passes.gradients import RunType, run_with_gradients
from harness_circuits.passes.native import NativeRun

LOGIT_DIFF = METRICS.get("logit_diff")
LEVELS: tuple[Level, ...] = ("edge", "node")


def scores(case: Case, level: Level, ablation: str = "patching", **options: bool) -> np.ndarray:
    job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))
    return attribute(job, "AtP-star", **options).values


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_without_corrections_it_is_attribution_patching(name: str, level: Level) -> None:
    with exact_case(name) as case:
        got = scores(case, level, qk_fix=False, grad_drop=False)
        eap = attribute(Job(case.model, [case.batch], LOGIT_DIFF, level), "EAP").values
    np.testing.assert_allclose(got, eap, rtol=0, atol=1e-10 * np.abs(eap).max())


def residual_changes(case: Case, ablation: str) -> Tensor:
    """What replacing each source adds to the residual stream [src, batch, pos, model]."""
    reference = case.reference
    outputs = reference.outputs(clean(PAIRS))
    delta = case.replacement(ablation) - outputs
    step = reference.n_heads + 1
    for index, layer in enumerate(reference.layers):
        if layer.post_attention is None:
            continue
        heads = slice(1 + index * step, 1 + index * step + reference.n_heads)
        attention = outputs[heads].sum(0)
        attention = attention if layer.b_o is None else attention + layer.b_o
        moved = layer.post_attention(attention + delta[heads])
        delta[heads] = moved - layer.post_attention(attention)
    return delta


def recomputed(
    case: Case, ablation: str, *, single: bool = False, run_type: RunType = NativeRun
) -> np.ndarray:
    """Query and key scores from attention rows recomputed by the reference's arithmetic.

    With `single`, one position of a query or key is patched at a time, and effects are added up.
    Effects meet the gradients of a run of the given type.
    """
    model, reference = case.model, case.reference

    def metric(logits: Tensor) -> Tensor:
        return LOGIT_DIFF(logits, case.batch)

    run = run_with_gradients(model, case.batch.clean, metric, ("attention",), run_type=run_type)
    changes = residual_changes(case, ablation)
    n_pos = case.batch.n_prompt
    found = np.zeros((reference.n_src, reference.n_dst))
    for index, layer in enumerate(reference.layers):
        x = run.seen["block_in"][index]
        n_in = 1 + index * (reference.n_heads + 1)
        inputs = x[:, :, None].expand(-1, -1, reference.block_dst - 1, -1)
        before = torch.stack(reference._heads(layer, inputs))
        for source in range(n_in):
            for column in range(reference.n_heads + reference.n_kv):
                for at in range(n_pos) if single else [slice(None)]:
                    patched = inputs.clone()
                    patched[:, at, column] += changes[source][:, at]
                    moved = torch.stack(reference._heads(layer, patched)) - before
                    effect = (moved * run.gradients["attention"][index]).sum()
                    found[source, index * reference.block_dst + column] -= float(effect)
    return found / len(PAIRS)


class Dropped(Reference):
    """A reference in which one layer's heads and MLP are constants to the backward pass."""

    dropped: int

    def run(self, *args: Any, **how: Any) -> tuple[Tensor, Tensor]:
        whole, layer = self.layers, self.layers[self.dropped]
        mlp = replace(layer, mlp=lambda x: layer.mlp(x).detach())
        self.layers = [mlp if other is layer else other for other in whole]
        self.constant = mlp
        try:
            return super().run(*args, **how)
        finally:
            self.layers = whole

    def _heads(self, layer: Any, inputs: Tensor) -> list[Tensor]:
        heads = super()._heads(layer, inputs)
        return [head.detach() for head in heads] if layer is self.constant else heads


@cache
def three_layers(name: str) -> Case:
    architecture, kv_heads = name.split("-")
    changes: dict[str, Any] = {
        "gpt2": {"n_layer": 3},
        "gpt_neo": {"num_layers": 3, "attention_types": [[["global", "local", "global"], 1]]},
    }.get(architecture, {"num_hidden_layers": 3})
    hf = random_hf(architecture, **changes).double()
    model = take_apart(hf, kv_heads=kv_heads, name="three layers")  # type: ignore[arg-type]
    (batch,) = token_batches(3, 6)
    return Case(model, Dropped(model.hf, kv_heads), batch)


@pytest.mark.parametrize("ablation", BY_HAND)
@pytest.mark.parametrize("name", CASES)
def test_grad_drop_is_the_mean_size_over_explicitly_dropped_layers(
    name: str, ablation: str
) -> None:
    with exact_float64():
        case = three_layers(name)
        reference: Any = case.reference
        graph = case.model.graph
        per_layer: dict[Level, list[np.ndarray]] = {level: [] for level in LEVELS}
        for reference.dropped in range(3):
            for level in LEVELS:
                drop = case.brute_force(gate_gradient, level, ablation)
                per_layer[level].append(np.abs(drop))
        got = {level: scores(case, level, ablation, qk_fix=False) for level in LEVELS}
    edges, nodes = (np.array(per_layer[level]) for level in LEVELS)
    for layer in range(3):
        assert not edges[layer, :, graph.attention_slice(layer)].any()
        nodes[layer, graph.head_source(layer) : graph.mlp_source(layer) + 1] = 0
    wanted = edges.sum(0) / 2
    wanted[:, -1] = edges[0, :, -1]  # the logits lie in no layer: no drop reaches their edges
    np.testing.assert_allclose(got["edge"], wanted, rtol=0, atol=1e-9 * wanted.max())
    wanted = nodes.sum(0) / 2
    wanted[0] = nodes[:, 0].sum(0) / 3  # nor does the input
    np.testing.assert_allclose(got["node"], wanted, rtol=0, atol=1e-9 * wanted.max())


@pytest.mark.parametrize("name", CASES)
def test_both_corrections_recompute_attention_for_every_dropped_layer(name: str) -> None:
    with exact_float64():
        case = three_layers(name)
        reference: Any = case.reference
        graph = case.model.graph
        fixed = [c for layer in range(3) for kind in "qk" for c in columns(graph, layer, kind)]
        sizes = []
        for reference.dropped in range(3):
            one = case.brute_force(gate_gradient, "edge", "patching")
            run_type = partial(DropRun, dropped=[reference.dropped])
            one[:, fixed] = recomputed(case, "patching", run_type=run_type)[:, fixed]
            sizes.append(np.abs(one))
        got = scores(case, "edge")
        apart = scores(case, "edge", qk_fix=False)
    wanted = np.sum(sizes, 0) / 2  # in its own layer an edge's size is 0
    wanted[:, -1] = sizes[0][:, -1]
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9 * wanted.max())
    assert np.abs(got - apart)[:, fixed].max() > 1e-2 * wanted[:, fixed].max()


def columns(graph: Graph, layer: int, kind: str) -> range:
    """The destinations of one kind in a layer."""
    found = graph.kind_slice(layer, kind)
    return range(found.start, found.stop)


def test_one_layer_cannot_be_dropped() -> None:
    model = take_apart(random_hf("llama", num_hidden_layers=1), name="shallow")
    job = Job(model, token_batches(), LOGIT_DIFF)
    with pytest.raises(OptionError, match=r"needs two, shallow has 1\. Set grad_drop=false"):
        attribute(job, "AtP-star")
    assert attribute(job, "AtP-star", grad_drop=False).values.any()
