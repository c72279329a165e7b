"""Plans of node and neuron circuits: the kept heads of every layer, and the kept neurons."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from helpers.random_circuits import random_circuit
from helpers.tiny_models import tiny_model

from harness_circuits.passes.node_plan import NodePlan, node_plan
from harness_circuits.passes.places import Places


@pytest.mark.parametrize("level", ["node", "neuron"])
def test_a_plan_has_what_the_circuit_keeps(level: Literal["node", "neuron"]) -> None:
    model = tiny_model("llama")
    circuit = random_circuit(model, level)
    plan = NodePlan(circuit, Places.of(model), torch.float64)
    for layer in range(model.graph.n_layers):
        kept = circuit.nodes[model.graph.head_slice(layer)]
        assert plan.heads[layer].tolist() == [head for head, on in enumerate(kept) if on]
        marks = torch.zeros(model.graph.n_heads)
        marks[plan.head_selectors[layer]] = 1
        assert marks.bool().tolist() == kept.tolist()
    if level == "node":
        assert plan.neurons is None
    else:
        assert plan.neurons is not None and plan.neurons.tolist() == circuit.kept.tolist()
    places = Places.of(model)
    assert node_plan(circuit, places, torch.float64) is node_plan(circuit, places, torch.float64)
