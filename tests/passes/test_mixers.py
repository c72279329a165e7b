"""What kept edges deliver: all of them give the clean run's inputs, none of them the ablated stream."""

from __future__ import annotations

import pytest
import torch
from helpers.random_circuits import random_circuit
from helpers.reference_model import exact_float64
from helpers.tiny_models import ARCHITECTURES, tiny_model, token_batches

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Level, ScoreSpace
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.mixers import EdgeMixer, NodeMixer
from harness_circuits.passes.native import outputs_of, record


def fed(
    architecture: str, circuit: Circuit
) -> tuple[EdgeMixer | NodeMixer, dict[str, torch.Tensor]]:
    """A mixer that was given every output of the clean run, and that run's inputs."""
    model, (batch,) = tiny_model(architecture), token_batches()
    seen, _ = record(model, batch.clean, ("block_in", "mixed", "mlp_in", "mlp", "final"))
    clean = outputs_of(model, batch.clean, seen)
    replacement = outputs_of(model, batch.corrupted, record(model, batch.corrupted)[0])
    stream = AblatedStream(model, batch.clean, replacement)
    mixer = (EdgeMixer if circuit.space.level == "edge" else NodeMixer)(circuit, stream)
    mixer.add_input(clean.embedded)
    inputs = {}
    for index in range(model.graph.n_layers):
        mixer.enter(index)
        rows = mixer.attention_inputs(index)
        inputs[f"attention {index}"] = (
            rows[0] if len(rows) else stream.batched(stream.block_in[index])
        )
        if mixer.heads_needed(index).size:
            mixer.add_heads(index, clean.mixed[index])
        inputs[f"mlp {index}"] = mixer.mlp_input(index)
        if mixer.mlp_needed(index):
            mixer.add_mlp(index, clean.mlp[index])
    inputs["final"] = mixer.final()
    wanted = {f"attention {i}": x for i, x in seen["block_in"].items()}
    wanted |= {f"mlp {i}": x for i, x in seen["mlp_in"].items()}
    wanted["final"] = seen["final"][model.graph.n_layers - 1]
    whole = circuit.n_kept == circuit.space.n_units
    for name, x in inputs.items():
        kind, _, index_text = name.partition(" ")
        ablated = {
            "attention": stream.block_in,
            "mlp": stream.mlp_in,
            "final": [stream.final],
        }[kind][int(index_text or 0)]
        expected = wanted[name] if whole else stream.batched(ablated)
        if whole or circuit.n_kept == 0:
            torch.testing.assert_close(x, expected, rtol=0, atol=1e-9)
    return mixer, inputs


@pytest.mark.parametrize("level", ["edge", "node", "neuron"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_everything_is_the_clean_run_and_nothing_the_ablated_one(
    architecture: str, level: Level
) -> None:
    space = ScoreSpace(tiny_model(architecture).graph, level)
    with exact_float64():  # some norms work in float32 whatever they are given
        fed(architecture, Circuit.full(space))
        fed(architecture, Circuit.empty(space))


def test_only_what_a_kept_edge_carries_is_needed() -> None:
    circuit = random_circuit(tiny_model("llama"), share=0.1)
    mixer, _ = fed("llama", circuit)
    graph = circuit.space.graph
    for index in range(graph.n_layers):
        heads = circuit.kept[graph.head_slice(index)].any(1)
        assert mixer.heads_needed(index).tolist() == heads.nonzero()[0].tolist()
        assert mixer.mlp_needed(index) == circuit.kept[graph.mlp_source(index)].any()
