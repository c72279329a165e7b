"""AtP*: attention recomputed by plain arithmetic, gradients dropped by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from helpers.query_key_fix import LOGIT_DIFF, recomputed, scores
from helpers.reference import Reference, exact_float64, gate_gradient
from helpers.reference_cases import BY_HAND, CASES, TRAINING, Case, exact_case
from helpers.reference_hidden import hidden_gate_gradient
from helpers.tiny_models import random_hf, token_batches
from torch import Tensor

from harness_circuits.ablation import make_ablation
from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.atp_star import DropRun
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import HIDDEN_UNITS, Level
from harness_circuits.errors import OptionError
from harness_circuits.loading.load import take_apart
from harness_circuits.pairs.batch import make_batches

LEVELS: tuple[Level, ...] = ("edge", "node")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_without_corrections_it_is_attribution_patching(name: str, level: Level) -> None:
    with exact_case(name) as case:
        got = scores(case, level, qk_fix=False, grad_drop=False)
        eap = attribute(Job(case.model, [case.batch], LOGIT_DIFF, level), "EAP").values
    np.testing.assert_allclose(got, eap, rtol=0, atol=1e-10 * np.abs(eap).max())


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


@pytest.mark.parametrize("ablation", BY_HAND)
@pytest.mark.parametrize("name", [name for name in CASES if name.endswith("-ungrouped")])
def test_hidden_units_score_by_grad_drop_alone(name: str, ablation: str) -> None:
    with exact_float64():
        case = three_layers(name)
        reference: Any = case.reference
        sizes = []
        for reference.dropped in range(3):
            sizes.append(hidden_gate_gradient(case, ablation).abs().numpy())
            assert not sizes[-1][reference.dropped].any(), "nothing passes its own layer"
        made = make_ablation(ablation, case.model.at(HIDDEN_UNITS), make_batches(TRAINING, 2))
        job = Job(case.model, [case.batch], LOGIT_DIFF, HIDDEN_UNITS, made)
        got = attribute(job, "AtP-star").values
        other = attribute(job, "AtP-star", qk_fix=False).values
        plain = attribute(job, "AtP-star", grad_drop=False).values
        eap = attribute(job, "EAP").values
    wanted = np.sum(sizes, 0) / 2
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9 * wanted.max())
    np.testing.assert_array_equal(other, got)
    np.testing.assert_allclose(plain, eap, rtol=0, atol=1e-12 * np.abs(eap).max())
    assert np.abs(got - np.abs(eap)).max() > 1e-2 * wanted.max()


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
