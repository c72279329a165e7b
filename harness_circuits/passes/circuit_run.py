"""The run of a circuit: everything outside it ablated, everything inside it recomputed.

At every destination v the input is the ablated stream plus the kept edges' differences, which are
taken from this same run (as in MIB: edges outside the circuit deliver exactly the replacement, edges
inside it what their source now computes). Heads and blocks that no kept edge carries are skipped,
and a head input without kept edges uses the query, key or value of the ablated stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.circuits.circuit import Circuit, check_same_graph
from harness_circuits.circuits.graph import QKV
from harness_circuits.circuits.scores import HIDDEN_UNITS
from harness_circuits.models.attention_core import PerHead
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.models.layer import Layer
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.block_arguments import rows_of
from harness_circuits.passes.crossing_run import attend_crossing, kept_blocks
from harness_circuits.passes.hidden_run import run_hidden
from harness_circuits.passes.mixers import EdgeMixer, NodeMixer
from harness_circuits.passes.native import Residual
from harness_circuits.passes.readings import Reading

Scale = Float[Tensor, "*row batch pos 1"]


def run_circuit(
    model: CircuitModel, circuit: Circuit, inputs: Inputs, stream: AblatedStream
) -> Float[Tensor, "batch read vocab"]:
    """Logits of the model with everything outside a circuit ablated; see `run_circuits`."""
    return run_circuits(model, [circuit], inputs, stream)[0]


@dataclass(frozen=True)
class Known:
    """What circuits have in common that keep the same edges into the first blocks.

    Attributes:
        first: The first block that has to be run, up to the number of blocks.
        differences: From `differences_of` such a circuit that keeps all edges that these keep; read for
            the sources of the blocks before.
    """

    first: int
    differences: Float[Tensor, "src token model"]


def run_circuits(
    model: CircuitModel,
    circuits: Sequence[Circuit],
    inputs: Inputs,
    stream: AblatedStream,
    known: Known | None = None,
) -> Float[Tensor, "circuit batch read vocab"]:
    """Logits of several circuits, side by side in one pass.

    Each keeps differences of its own; what the model's weights are multiplied with is put together.

    Args:
        model: The model.
        circuits: What is kept, over the model's own graph; all of hidden units, or none.
        inputs: The clean prompts.
        stream: The fully ablated run of the same prompts.
        known: Edge circuits only: blocks that need not be run.

    Raises:
        MismatchError: A circuit belongs to another graph.
    """
    for circuit in circuits:
        check_same_graph(circuit.space, model.graph, model.name)
    if circuits[0].space.level == HIDDEN_UNITS:
        model.counts["circuits"] += len(circuits)
        return run_hidden(model, circuits, inputs, stream.replacement)
    return _run(model, circuits, inputs, stream, known)[1]


def differences_of(
    model: CircuitModel, circuit: Circuit, inputs: Inputs, stream: AblatedStream
) -> Float[Tensor, "src token model"]:
    """What each source with a kept edge puts out in a circuit's run, less its replacement; others 0.

    Heads before any post-norm; arguments as in `run_circuit`, for an edge circuit.
    """
    ((run,), _) = _run(model, [circuit], inputs, stream, None)
    assert isinstance(run.mixer, EdgeMixer)
    return run.mixer.all_differences()


def _run(
    model: CircuitModel,
    circuits: Sequence[Circuit],
    inputs: Inputs,
    stream: AblatedStream,
    known: Known | None,
) -> tuple[list[CircuitRun], Float[Tensor, "circuit batch read vocab"]]:
    """The runs of some circuits, once they are through, and their logits."""
    streams = stream.beside(len(circuits))
    runs = [CircuitRun(c, inputs, own) for c, own in zip(circuits, streams, strict=True)]
    n, first = len(runs), 0 if known is None else known.first
    if known is not None and first:
        for run in runs:
            assert isinstance(run.mixer, EdgeMixer)
            run.mixer.take_known(known.differences, 1 + first * model.graph.sources_per_layer)

    def function(index: int, x: Residual, arguments: dict[str, Any]) -> Residual:
        if index >= first:
            return run_block(runs, index, x, arguments)
        return x if index < model.graph.n_layers - 1 else logits_inputs(runs)

    with torch.no_grad():
        logits = model.forward(inputs if n == 1 else inputs.repeated(n), function)
    model.counts["circuits"] += n
    return runs, logits.unflatten(0, (n, -1))


def run_block(
    runs: Sequence[CircuitRun], index: int, x: Residual, arguments: dict[str, Any]
) -> Residual:
    """Run one block of circuits side by side; what blocks hand on is in the mixers, not in `x`.

    Args:
        runs: One run per circuit.
        index: The block.
        x: Its input: the prompts once per circuit, one circuit after the other.
        arguments: What the model hands to its attention, for all rows.
    """
    layer, n_rows = runs[0].model.layers[index], x.shape[0] // len(runs)
    for run in runs:
        if index == 0:
            first = x[:n_rows]
            run.mixer.add_input(first - run.model.position_embedding(run.inputs, first))
        run.mixer.enter(index)
    active = [run for run in runs if len(run.mixer.heads_needed(index))]
    if active:
        for run, part in _attended(active, index, layer, x.shape[0], n_rows, arguments):
            run.mixer.add_heads(index, part)
    active = [run for run in runs if run.mixer.mlp_needed(index)]
    if active:
        out = layer.mlp_out(_together([run.mixer.mlp_input(index) for run in active]))
        for run, part in zip(active, out.split(n_rows), strict=True):
            run.mixer.add_mlp(index, part)
    if index < runs[0].model.graph.n_layers - 1:
        return x
    return logits_inputs(runs)


def _attended(
    active: Sequence[CircuitRun],
    index: int,
    layer: Layer,
    n_all: int,
    n_rows: int,
    arguments: dict[str, Any],
) -> Iterator[tuple[CircuitRun, PerHead]]:
    """Runs and the mixed values of their heads; those with kept crossing edges one by one."""
    together = [run for run in active if run.blocks[index] is None]
    for run in active:
        if (kept := run.blocks[index]) is not None:
            current = layer.ungrouped(run.projected(index, layer))
            replaced = layer.ungrouped(run.replaced(index))
            assert run.inputs.spans is not None
            where = kept, run.inputs.spans, rows_of(arguments, slice(n_rows), n_all)
            yield run, attend_crossing(run.model, index, current, replaced, *where)
    if together:
        columns = zip(*(run.projected(index, layer) for run in together), strict=True)
        qkv = layer.ungrouped(_together(list(column)) for column in columns)
        own = rows_of(arguments, slice(len(qkv[0])), n_all) if len(qkv[0]) < n_all else arguments
        yield from zip(together, layer.core(*qkv, own).split(n_rows), strict=True)


def logits_inputs(runs: Sequence[CircuitRun]) -> Residual:
    """What the logits read in each run, one after the other."""
    return _together([run.mixer.final() for run in runs])


def _together(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class CircuitRun:
    """One circuit's run."""

    def __init__(self, circuit: Circuit, inputs: Inputs, stream: AblatedStream) -> None:
        """Prepare one run."""
        self.model = stream.model
        self.inputs = inputs
        self.stream = stream
        self.blocks = [kept_blocks(circuit, layer) for layer in range(self.model.graph.n_layers)]
        self.mixer: EdgeMixer | NodeMixer
        if circuit.space.level == "edge":
            self.mixer = EdgeMixer(circuit, stream, inputs.spans)
        else:
            self.mixer = NodeMixer(circuit, stream)

    def projected(self, index: int, layer: Layer) -> Iterator[PerHead]:
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

    def replaced(self, index: int) -> Iterator[PerHead]:
        """Queries, keys and values of the run in which everything is replaced."""
        for kind in QKV:
            yield self.stream.batched(self.stream.projected(index, kind))


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
