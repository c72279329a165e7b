"""What plans are cached by: a circuit itself, and a model's devices."""

from __future__ import annotations

import torch
from helpers.tiny_models import tiny_model

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.passes.places import ByIdentity, Places


def test_models_on_the_same_devices_have_the_same_places() -> None:
    cpu = torch.device("cpu")
    places = Places.of(tiny_model("llama"))
    assert places == Places(cpu, (cpu, cpu)) and hash(places) == hash(Places(cpu, (cpu, cpu)))
    assert places != Places(cpu, (cpu, torch.device("meta")))


def test_an_equal_circuit_is_another_one() -> None:
    space = ScoreSpace(tiny_model("llama").graph)
    circuit = Circuit.full(space)
    same, other = ByIdentity(circuit), ByIdentity(Circuit.full(space))
    assert same == ByIdentity(circuit) and hash(same) == hash(ByIdentity(circuit))
    assert same != other and same != circuit
