"""RelP: rules one by one, what is conserved, and an unchanged forward pass."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from helpers.reference import Reference, exact_float64, gate_gradient
from helpers.reference_cases import BY_HAND, CASES, PAIRS, clean, exact_case
from helpers.reference_rules import Linear
from helpers.tiny_models import ARCHITECTURES, tiny_model, token_batches
from torch import nn

from harness_circuits.ablation.zero import Zero
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.scores import GRAPH_LEVELS, LEVELS, Level
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.passes.relevance import read_mlp

LOGIT_DIFF = METRICS.get("logit_diff")
OFF = {"ln_rule": False, "identity_rule": False, "half_rule": False}
WITHOUT_BIASES = ("llama", "mistral", "qwen3", "olmo2", "phi3")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_rules_it_is_eap_and_each_rule_changes_it(architecture: str, level: Level) -> None:
    model = tiny_model(architecture)
    job = Job(model, token_batches(), LOGIT_DIFF, level)
    eap = attribute(job, "EAP").values
    np.testing.assert_array_equal(attribute(job, "RelP", **OFF).values, eap)
    for rule in ("ln_rule", "identity_rule", "half_rule", "ah_rule"):
        scores = attribute(job, "RelP", **{**OFF, rule: True}).values
        same = np.allclose(scores, eap, rtol=0, atol=1e-3 * np.abs(eap).max())
        mlp = read_mlp(model.layers[0], "")
        relu = isinstance(mlp.activations[0], nn.ReLU)  # act(x) / x is its gradient
        no_product = rule == "half_rule" and not mlp.gated
        assert same == (no_product or (rule == "identity_rule" and relu))


class LinearReference(Reference):
    reader = Linear


@pytest.mark.parametrize("name", CASES)
def test_scores_are_gradients_of_gates_under_the_rules(name: str) -> None:
    with exact_case(name) as case:
        reference = LinearReference(case.model.hf, name.split("-")[1])
        with torch.no_grad():
            logits = reference.run(clean(PAIRS))[0]
            torch.testing.assert_close(logits, case.reference.run(clean(PAIRS))[0])
        for level, ablation in product(GRAPH_LEVELS, BY_HAND):
            job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))
            wanted = replace(case, reference=reference).brute_force(gate_gradient, level, ablation)
            got = attribute(job, "RelP").values
            assert np.abs(wanted).max() > 1e-3
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("architecture", WITHOUT_BIASES)
def test_relevance_is_conserved(architecture: str) -> None:
    """Under all rules a model without biases is linear in what its nodes put out."""
    (batch,) = token_batches()
    model = tiny_model(architecture)
    with exact_float64(), torch.no_grad():
        metric = float(LOGIT_DIFF(model.forward(batch.clean), batch).mean())
        edge, node, neuron = (
            attribute(Job(model, [batch], LOGIT_DIFF, level, Zero()), "RelP", ah_rule=True).values
            for level in GRAPH_LEVELS
        )
    assert abs(metric) > 1e-2
    assert edge[:, -1].sum() == pytest.approx(metric, abs=1e-9)
    assert edge[0].sum() == pytest.approx(metric, abs=1e-9)
    assert node[0] == pytest.approx(metric, abs=1e-9)
    np.testing.assert_allclose(edge.sum(1), node, atol=1e-9)
    np.testing.assert_allclose(neuron.sum(1), node, atol=1e-9)


@pytest.mark.parametrize("architecture", ["llama", "olmo2"])
def test_what_enters_a_node_leaves_it(architecture: str) -> None:
    """Conservation inside the model, for MLPs and values: scores in are scores out."""
    model, batches = tiny_model(architecture), token_batches()
    with exact_float64():
        job = Job(model, batches, LOGIT_DIFF, "edge", Zero())
        edge = attribute(job, "RelP", ah_rule=True).values
    graph = model.graph
    for layer in range(graph.n_layers):
        mlp = graph.mlp_source(layer)
        assert edge[:, graph.mlp_destination(layer)].sum() == pytest.approx(
            edge[mlp].sum(), abs=1e-9
        )
        values = edge[:, graph.kind_slice(layer, "v")].sum(0)
        np.testing.assert_allclose(values, edge[graph.head_slice(layer)].sum(1), atol=1e-9)
        for kind in "qk":
            assert not edge[:, graph.kind_slice(layer, kind)].any()
