"""The run of a circuit: everything outside it ablated, everything inside it recomputed.

At every destination v the input is the ablated stream plus the kept edges' differences, which are
taken from this same run (as in MIB: edges outside the circuit deliver exactly the replacement, edges
inside it what their source now computes). Heads and blocks that no kept edge carries are skipped,
and a head input without kept edges uses the query, key or value of the ablated stream.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.circuit import Circuit
from harness_circuits.errors import CircuitFileError
from harness_circuits.graph import QKV
from harness_circuits.models.architecture import Layer
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.mixers import EdgeMixer, NodeMixer, Rows, take
from harness_circuits.passes.native import PerHead, Residual


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
        CircuitFileError: The circuit belongs to another graph.
    """
    if circuit.space.graph != model.graph:
        raise CircuitFileError(
            f"The circuit belongs to another model: it is over {circuit.space.graph}, "
            f"{model.name} has {model.graph}."
        )
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
            rows = mixer.attention_inputs(index)
            q, k, v = (self._projected(index, layer, rows, kind) for kind in QKV)
            mixer.add_heads(index, layer.core(q, layer.ungroup(k), layer.ungroup(v), arguments))
        if mixer.mlp_needed(index):
            mixer.add_mlp(index, layer.mlp_out(mixer.mlp_input(index)))
        return mixer.final() if index == self.model.graph.n_layers - 1 else x

    def _projected(self, index: int, layer: Layer, rows: Rows, kind: str) -> PerHead:
        """Queries, keys or values, from the circuit's rows where there are any."""
        graph = self.model.graph
        start = graph.head_destination(index, kind) - graph.head_destination(index)
        of = rows.of[start : start + (graph.n_heads if kind == "q" else graph.n_kv_heads)]
        heads = np.flatnonzero(of >= 0)
        if len(heads) == len(of) and (of == of[0]).all():
            return _project_all(layer, rows.values[of[0]], kind, len(of))
        ablated = self.stream.batched(self.stream.projected(index, kind))
        if not len(heads):
            return ablated
        projected = _project_rows(layer, take(rows.values, of[heads]), kind, heads, len(of))
        if len(heads) == len(of):
            return projected
        out = ablated.clone(memory_format=torch.contiguous_format)
        out[:, :, torch.from_numpy(heads).to(out.device)] = projected
        return out


def _project_all(layer: Layer, x: Residual, kind: str, n: int) -> PerHead:
    """Project one residual input for all heads of a kind."""
    weight, bias = layer.folded[kind]
    home, x = x.device, x.to(weight.device)
    out = x @ weight.flatten(0, 1).T
    if layer.norm is not None:
        out = out * layer.norm.inverse_scale(x).to(out.dtype)
    out = out.unflatten(-1, weight.shape[:2])
    out = out if bias is None else out + bias
    out = out if out.shape[2] == n else out.repeat_interleave(n // out.shape[2], dim=2)
    return out.to(home)


def _project_rows(
    layer: Layer, x: Float[Tensor, "row batch pos model"], kind: str, heads: np.ndarray, n: int
) -> Float[Tensor, "batch pos row d_head"]:
    """Project one residual input per head."""
    weight, bias = layer.folded[kind]
    flat = x.flatten(1, 2).to(weight.device)
    out = flat.new_empty((flat.shape[1], len(heads), layer.d_head))
    own, rank = np.divmod(heads, n // weight.shape[0])  # the model may share key and value heads
    for part in (np.flatnonzero(rank == number) for number in np.unique(rank)):
        product = torch.bmm(take(flat, part), take(weight, own[part]).transpose(1, 2))
        out[:, torch.from_numpy(part).to(out.device)] = product.transpose(0, 1)
    if layer.norm is not None:
        out *= layer.norm.inverse_scale(flat).transpose(0, 1).to(out.dtype)
    if bias is not None:
        out += bias[torch.from_numpy(own).to(bias.device)]
    return out.unflatten(0, x.shape[1:3]).to(x.device)
