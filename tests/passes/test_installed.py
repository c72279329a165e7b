"""A circuit installed in the model itself: any shape, padding, and generation with a cache."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.random_circuits import random_circuit
from helpers.reference_model import exact_float64
from helpers.tiny_models import ARCHITECTURES, VOCABULARY, tiny_model

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuit
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.native import Outputs

IDS = torch.randint(2, VOCABULARY, (3, 7), generator=torch.Generator().manual_seed(3))


def constant(model: CircuitModel) -> Outputs:
    generator = torch.Generator().manual_seed(5)
    graph, layer = model.graph, model.layers[0]

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(1, 1, *shape, generator=generator, dtype=model.dtype) * 0.1

    return Outputs(
        some(graph.d_model),
        [some(graph.n_heads, layer.d_head) for _ in model.layers],
        [some(graph.d_model) for _ in model.layers],
    )


def installed(model: CircuitModel, circuit: Circuit, **inputs: Any) -> torch.Tensor:
    with InstalledCircuit(model, circuit, constant(model)).installed():
        logits: torch.Tensor = model.hf(**inputs).logits
    return logits


@pytest.mark.parametrize("level", ["edge", "node", "neuron"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_forward_of_the_model_is_a_run_of_the_circuit(architecture: str, level: str) -> None:
    model = tiny_model(architecture)
    circuit = random_circuit(model, level)
    inputs = Inputs(IDS, torch.arange(7))
    with exact_float64():  # transformers computes RMS norms in float32 otherwise
        expected = run_circuit(model, circuit, inputs, AblatedStream(model, inputs, spread(model)))
        found = installed(model, circuit, input_ids=IDS)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def spread(model: CircuitModel) -> Outputs:
    def wide(x: torch.Tensor) -> torch.Tensor:
        return x.expand(1, 7, *x.shape[2:])

    one = constant(model)
    return Outputs(wide(one.embedded), [wide(x) for x in one.mixed], [wide(x) for x in one.mlp])


@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES if a != "gemma2"])
def test_left_padding_changes_nothing(architecture: str) -> None:
    """Without gemma2, whose own eager attention gives NaN in float64 with padded rows."""
    model = tiny_model(architecture)
    circuit = random_circuit(model)
    padded = torch.cat((torch.zeros(3, 2, dtype=torch.long), IDS), dim=1)
    mask = torch.ones_like(padded)
    mask[:, :2] = 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with exact_float64():  # GPT-J's attention is computed in float32 otherwise
        logits = installed(
            model, circuit, input_ids=padded, attention_mask=mask, position_ids=positions
        )
        alone = installed(model, circuit, input_ids=IDS)
    assert torch.allclose(logits[:, 2:], alone, atol=1e-9)


def test_left_padding_with_a_sliding_window_and_soft_caps() -> None:
    """Gemma 2 in float32, where rows of padding give numbers: the unpadded positions' are the same.

    In float64 HuggingFace's own attention gives NaN at them (masked by the smallest float32).
    """
    model = tiny_model("gemma2", dtype=torch.float32)
    circuit = random_circuit(model)
    padded = torch.cat((torch.zeros(3, 2, dtype=torch.long), IDS), dim=1)
    mask = torch.ones_like(padded)
    mask[:, :2] = 0
    logits = model.hf(input_ids=padded, attention_mask=mask).logits
    assert torch.isfinite(logits[:, 2:]).all()
    alone = installed(model, circuit, input_ids=IDS)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    found = installed(model, circuit, input_ids=padded, attention_mask=mask, position_ids=positions)
    torch.testing.assert_close(found[:, 2:], alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("level", ["edge", "node"])
@pytest.mark.parametrize("kv_heads", ["ungrouped", "grouped"])
@pytest.mark.parametrize(
    "architecture", ["gpt2", "llama", "mistral", "gemma2", "gpt_neo", "gptj", "opt", "falcon"]
)
def test_generation_keeps_the_ablation_in_force(
    architecture: str, kv_heads: str, level: str
) -> None:
    model = tiny_model(architecture, kv_heads=kv_heads)
    circuit = random_circuit(model, level)
    if level == "node":  # no head of the first layer: its attention is skipped
        kept = circuit.kept.copy()
        kept[model.graph.head_slice(0)] = False
        circuit = Circuit(circuit.space, kept)
    how = {"do_sample": False, "max_new_tokens": 5, "eos_token_id": None, "pad_token_id": 0}
    with InstalledCircuit(model, circuit, constant(model)).installed():
        cached = model.hf.generate(IDS, use_cache=True, **how)
        plain = model.hf.generate(IDS, use_cache=False, **how)
        logits = model.hf(input_ids=cached).logits
    assert torch.equal(cached, plain)
    assert torch.equal(logits[:, 6:-1].argmax(-1), cached[:, 7:])


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_model("gpt2")
    before = model.hf(input_ids=IDS).logits
    changed = installed(model, random_circuit(model), input_ids=IDS)
    assert not torch.allclose(before, changed)
    assert torch.equal(model.hf(input_ids=IDS).logits, before)
    full = Circuit.full(ScoreSpace(model.graph))
    assert torch.equal(installed(model, full, input_ids=IDS), before)
