"""The run of a circuit: everything outside it ablated, everything inside it recomputed.

At every destination v the input is the ablated stream plus the kept edges' differences, which are
taken from this same run (as in MIB: edges outside the circuit deliver exactly the replacement, edges
inside it what their source now computes). Heads and blocks that no kept edge carries are skipped,
and a head input without kept edges uses the query, key or value of the ablated stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.circuits.circuit import Circuit, check_same_graph
from harness_circuits.circuits.graph import QKV
from harness_circuits.models.attention_core import PerHead
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.models.layer import Layer
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.mixers import EdgeMixer, NodeMixer
from harness_circuits.passes.native import Residual
from harness_circuits.passes.readings import Reading

Scale = Float[Tensor, "*row batch pos 1"]


def run_circuit(
    model: CircuitModel, circuit: Circuit, inputs: Inputs, stream: AblatedStream
) -> Float[Tensor, "batch read vocab"]:
    """Logits of the model with everything outside a circuit ablated.

    Args:
        model: The model.
        circuit: What is kept, over the model's own graph.
        inputs: The clean prompts.
        stream: The fully ablated run of the same prompts.

    Raises:
        MismatchError: The circuit belongs to another graph.
    """
    check_same_graph(circuit.space, model.graph, model.name)
    with torch.no_grad():
        return model.forward(inputs, CircuitRun(circuit, inputs, stream))


class CircuitRun:
    """The layer function of a circuit's run."""

    def __init__(self, circuit: Circuit, inputs: Inputs, stream: AblatedStream) -> None:
        """Prepare one run."""
        self.model = stream.model
        self.inputs = inputs
        self.stream = stream
        mixer = EdgeMixer if circuit.space.level == "edge" else NodeMixer
        self.mixer: EdgeMixer | NodeMixer = mixer(circuit, stream)

    def __call__(self, index: int, x: Residual, arguments: dict[str, Any]) -> Residual:
        """Run one block; what blocks hand on to each other is in the mixer, not in `x`."""
        layer, mixer = self.model.layers[index], self.mixer
        if index == 0:
            mixer.add_input(x - self.model.position_embedding(self.inputs, x))
        mixer.enter(index)
        if len(mixer.heads_needed(index)):
            q, k, v = self._projected(index, layer)
            mixer.add_heads(index, layer.core(q, layer.ungroup(k), layer.ungroup(v), arguments))
        if mixer.mlp_needed(index):
            mixer.add_mlp(index, layer.mlp_out(mixer.mlp_input(index)))
        return mixer.final() if index == self.model.graph.n_layers - 1 else x

    def _projected(self, index: int, layer: Layer) -> Iterator[PerHead]:
        """Queries, keys and values, from the circuit's inputs where any are kept."""
        stream = self.stream
        rows = self.mixer.attention_inputs(index).to(layer.device)
        scale = None if layer.norm is None else layer.norm.inverse_scale(rows).to(rows.dtype)
        for kind in QKV:
            reading = self.mixer.reading(index, kind)
            if reading.shared is not None:
                one = None if scale is None else scale[reading.shared]
                out = _project_all(layer, rows[reading.shared], one, kind, reading.n)
            else:
                out = stream.batched(stream.projected(index, kind))
                if reading.parts:
                    out = _project_parts(layer, rows, scale, kind, reading, out)
            yield out.to(stream.final.device)


def _project_all(layer: Layer, x: Residual, scale: Scale | None, kind: str, n: int) -> PerHead:
    """Project one residual input for all heads of a kind."""
    weight, bias = layer.folded[kind]
    out = x @ weight.flatten(0, 1).T
    out = (out if scale is None else out * scale).unflatten(-1, weight.shape[:2])
    out = out if bias is None else out + bias
    return out if out.shape[2] == n else out.repeat_interleave(n // out.shape[2], dim=2)


def _project_parts(
    layer: Layer,
    rows: Float[Tensor, "row batch pos model"],
    scale: Scale | None,
    kind: str,
    reading: Reading,
    ablated: PerHead,
) -> PerHead:
    """Project a residual input of its own for each head that has one; the others are ablated."""
    weight, bias = layer.folded[kind]
    flat = rows.flatten(1, 2)
    if reading.complete:
        out = flat.new_empty((*rows.shape[1:3], reading.n, layer.d_head))
    else:
        out = ablated.to(flat.device).clone(memory_format=torch.contiguous_format)
    for part in reading.parts:
        product = torch.bmm(flat[part.rows], weight[part.weights].transpose(1, 2))
        if scale is not None:
            product *= scale.flatten(1, 2)[part.rows]
        if bias is not None:
            product += bias[part.weights].unsqueeze(1)
        out[:, :, part.heads] = product.unflatten(1, rows.shape[1:3]).permute(1, 2, 0, 3)
    return out
