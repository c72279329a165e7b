"""What plans of circuits are cached by: the circuit itself, and the devices of a model."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.models.circuit_model import CircuitModel


@dataclass(frozen=True)
class Places:
    """Devices of a model.

    Attributes:
        stream: Where the residual stream is.
        layers: Where each layer's weights are.
    """

    stream: torch.device
    layers: tuple[torch.device, ...]

    @classmethod
    def of(cls, model: CircuitModel) -> Places:
        """The devices of a model."""
        return cls(model.device, tuple(layer.device for layer in model.layers))


class ByIdentity:
    """Hashes a circuit by identity (its array is not hashable) and keeps it alive."""

    def __init__(self, circuit: Circuit) -> None:
        """Take the circuit."""
        self.circuit = circuit

    def __hash__(self) -> int:
        return id(self.circuit)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByIdentity) and other.circuit is self.circuit
