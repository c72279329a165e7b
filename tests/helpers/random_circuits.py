"""Random circuits of a model."""

from __future__ import annotations

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.models.circuit_model import CircuitModel


def random_circuit(model: CircuitModel, level: str = "edge", share: float = 0.4) -> Circuit:
    space = ScoreSpace(model.graph, level)  # type: ignore[arg-type]
    chosen = np.random.default_rng(0).random(space.shape) < share
    return Circuit(space, space.real & chosen)
