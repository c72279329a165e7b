"""What the run of a node or neuron circuit needs, worked out and put on the device once per circuit."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.passes.places import ByIdentity, Places
from harness_circuits.passes.readings import selector


class NodePlan:
    """A node or neuron circuit on the devices of a model.

    Attributes:
        nodes: [src] whether a source is kept.
        heads: Per layer, the kept heads.
        head_selectors: The same as an index of activations.
        weight_selectors: The same as an index of the layer's weights.
        neurons: [src, model] kept neurons as zeros and ones; None in a node circuit.
    """

    def __init__(self, circuit: Circuit, places: Places, dtype: torch.dtype) -> None:
        """Put a circuit's indices on the model's devices.

        Args:
            circuit: A node or neuron circuit.
            places: Devices of the model.
            dtype: Dtype of activations.
        """
        graph = circuit.space.graph
        self.nodes = circuit.nodes
        self.heads = [
            np.flatnonzero(self.nodes[graph.head_slice(layer)]) for layer in range(graph.n_layers)
        ]
        self.head_selectors = [selector(heads, places.stream) for heads in self.heads]
        pairs = zip(self.heads, places.layers, strict=True)
        self.weight_selectors = [selector(heads, device) for heads, device in pairs]
        self.neurons = None
        if circuit.space.level == "neuron":
            self.neurons = torch.from_numpy(circuit.kept).to(places.stream, dtype)


def node_plan(circuit: Circuit, places: Places, dtype: torch.dtype) -> NodePlan:
    """The plan of a circuit, cached by the identity of the circuit; arguments as in `NodePlan`."""
    return _cached(ByIdentity(circuit), places, dtype)


@lru_cache(maxsize=64)
def _cached(circuit: ByIdentity, places: Places, dtype: torch.dtype) -> NodePlan:
    return NodePlan(circuit.circuit, places, dtype)
