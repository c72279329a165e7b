"""The run of a soft circuit, between that of a circuit and that of the model.

Every destination reads z times what a source puts out now, and 1 - z times what replaces it, with z in
[0, 1] for every unit. With z of zeros and ones this is the run of a circuit (`run_circuit`), with all
ones the model, with all zeros the empty circuit. It is differentiable in z: methods that learn masks
differ in how they draw z, and take its gradient from here. It takes a forward and a backward pass, and
at edge level one contraction.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.circuits.scores import HIDDEN_UNITS, Level
from harness_circuits.models.attention_core import PerHead
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.models.layer import Layer
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.hidden_run import HiddenRun
from harness_circuits.passes.masked_edges import MaskedEdges
from harness_circuits.passes.masked_nodes import MaskedNodes
from harness_circuits.passes.native import Residual


def run_masked(
    model: CircuitModel,
    level: Level,
    mask: Float[Tensor, "*units"],
    inputs: Inputs,
    stream: AblatedStream,
) -> Float[Tensor, "batch read vocab"]:
    """Logits of a soft circuit, differentiable in its mask, and in outputs' replacements.

    Args:
        model: The model.
        level: What the mask is over: `edge` [src, dst], `node` [src], `neuron` [src, model],
            `mlp-neuron` [layer, d_mlp].
        mask: z of every unit, from 0 (replaced) to 1 (kept), in any floating dtype.
        inputs: The clean prompts.
        stream: The fully ablated run of the same prompts; one that is being learned takes gradients too.
    """
    if level == HIDDEN_UNITS:
        run = HiddenRun(model, mask.to(model.sum_dtype)[None], stream.replacement)
        with torch.set_grad_enabled(mask.requires_grad):
            return model.forward(inputs, run)
    mixer = MaskedEdges(mask, stream) if level == "edge" else MaskedNodes(mask, stream)

    def function(index: int, x: Residual, arguments: dict[str, Any]) -> Residual:
        layer = model.layers[index]
        if index == 0:
            mixer.add_input(x - model.position_embedding(inputs, x))
        if isinstance(mixer, MaskedEdges):
            q, k, v = _project_rows(layer, mixer.attention_inputs(index))
        else:
            q, k, v = layer.project(mixer.attention_input(index))
        mixer.add_heads(index, layer.core(q, k, v, arguments))
        mixer.add_mlp(index, layer.mlp_out(mixer.mlp_input(index)))
        return mixer.final() if index == model.graph.n_layers - 1 else x

    with torch.set_grad_enabled(mask.requires_grad or stream.is_learned):
        return model.forward(inputs, function)


def _project_rows(
    layer: Layer, rows: Float[Tensor, "dst batch pos model"]
) -> tuple[PerHead, PerHead, PerHead]:
    """Queries, keys and values, one entry per query head, each from an input of its own."""
    graph, home = layer.graph, rows.device
    rows = rows.to(layer.device)
    scale = None if layer.norm is None else layer.norm.inverse_scale(rows).to(rows.dtype)
    values, first = [], 0
    for kind, n in (("q", graph.n_heads), ("k", graph.n_kv_heads), ("v", graph.n_kv_heads)):
        weight, bias = layer.folded[kind]
        heads = slice(first, first + n)
        first += n
        # The model may share a key or value head among several destinations.
        own = rows[heads].reshape(weight.shape[0], -1, graph.d_model)
        out = torch.bmm(own, weight.transpose(1, 2)).view(n, *rows.shape[1:3], -1)
        out = out if scale is None else out * scale[heads]
        if bias is not None:
            out = out + bias.repeat_interleave(n // len(bias), dim=0)[:, None, None]
        values.append(layer.ungroup(out.permute(1, 2, 0, 3)).to(home))
    return values[0], values[1], values[2]
