"""AtP* (Kramar et al. 2024, arXiv 2403.00745): attribution patching with two corrections.

**QK fix.** The scores of edges into queries and keys do not use the gradient through the softmax:
attention is recomputed with the query (or key) that the corrupted edge gives, see
`harness_circuits.passes.attention_fix`. All other edges score as in EAP. A node's score is the sum
of its edges' scores (without the fix that is AtP), so that the fix concerns what a node does to the
queries and keys that read it directly.

**GradDrop.** Direct and indirect effects that cancel hide a unit. For every layer l, gradients are
taken with the residual contributions of layer l (attention and MLP) cut off: scores S_l. The result
is the mean of |S_l| over layers, and never negative. A unit has no S_l in its own layer (its
gradient is zero there), so that L - 1 layers count, as in the paper, or all L where a unit lies in
none. The layer of a node is its own (the input has none), that of an edge its destination's (the
logits have none). |S_l| is taken of the mean over examples, so that the scores themselves are no
mean over examples.

Hidden units of MLPs are no queries or keys, and score by GradDrop alone, as in the paper; their layer is
their MLP's. Coordinates of outputs (`neuron`) are not defined here: the effect of a query input is not a
sum over its components.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_circuits.attribution.gradient import run_side_by_side
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import HIDDEN_UNITS, Level, Scores, ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.options import Option
from harness_circuits.options.kinds import Switch
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.attention_fix import QueryKeyFix
from harness_circuits.passes.changes import Changes
from harness_circuits.passes.contract import contract_edges, contract_hidden, delta_between
from harness_circuits.passes.gradients import (
    DESTINATION_POINTS,
    DestinationGradients,
    GradientPass,
    add_destination_gradients,
)
from harness_circuits.passes.memory import PATCHED_TOKENS, Needs
from harness_circuits.passes.native import HIDDEN, NativeRun, Residual, outputs_of, record


def atp_star(job: Job, *, qk_fix: bool, grad_drop: bool) -> Scores:
    """Score by gradients on the clean prompt, corrected for saturation and cancellation.

    Args:
        job: Model, data, metric, level and ablation.
        qk_fix: Recompute attention for edges into queries and keys; nothing to hidden units.
        grad_drop: Average the sizes of scores with each layer's gradient dropped in turn.

    Raises:
        OptionError: There is no layer to drop.
    """
    graph = job.model.graph
    if grad_drop and graph.n_layers < 2:
        raise OptionError(
            f"grad_drop=true drops one layer at a time and needs two, {job.model.name} has "
            f"{graph.n_layers}. Set grad_drop=false."
        )
    dropped: Sequence[int | None] = range(graph.n_layers) if grad_drop else [None]
    totals = job.zeros().new_zeros((len(dropped), *job.space.shape))
    for batch in job.watched("discovery"):
        if job.level == HIDDEN_UNITS:
            totals += _hidden_sums(job, batch, dropped)
        else:
            sums = _edge_sums(job, batch, dropped, qk_fix=qk_fix)
            totals += sums if job.level == "edge" else sums.sum(-1)
    job.ranks.sum_(totals)  # before sizes are taken, which do not add up over examples
    if not grad_drop:
        return job.scores(totals[0])
    return job.scores(_mean_size(totals, torch.from_numpy(_layers(graph, job.level))))


class DropRun(NativeRun):
    """Ordinary runs side by side, in each of which no gradient passes what one layer adds."""

    def __init__(
        self,
        model: CircuitModel,
        points: Collection[str],
        start: Residual | None = None,
        *,
        differentiable: bool = False,
        dropped: Sequence[int | None],
    ) -> None:
        """Prepare the runs; arguments as in `NativeRun`, and each run's dropped layer, if any."""
        super().__init__(model, points, start, differentiable=differentiable)
        self.dropped = dropped

    def tap(self, point: str, layer: int, tensor: Tensor) -> Tensor:
        """Keep a tensor as in any run, and cut it off in the runs in which its layer is dropped."""
        tensor = super().tap(point, layer, tensor)
        if layer not in self.dropped or point not in ("attention", "mlp"):
            return tensor
        rows = zip(tensor.chunk(len(self.dropped)), self.dropped, strict=True)
        return torch.cat([t.detach() if dropped == layer else t for t, dropped in rows])


def _edge_sums(
    job: Job, batch: Batch, dropped: Sequence[int | None], *, qk_fix: bool
) -> Float[Tensor, "run src dst"]:
    """Sums over the batch's examples, per dropped layer."""
    model, graph = job.model, job.model.graph
    replacement = job.ablation.replacement(model, batch)
    points = ("block_in", "q", "k", "v", "mixed", "mlp", "attention")
    seen, logits = record(model, batch.clean, points)
    clean = outputs_of(model, batch.clean, seen)
    delta = delta_between(clean, replacement, model.sum_dtype)
    sums = job.zeros().new_zeros((len(dropped), graph.n_src, graph.n_dst))
    at_mixed = []
    runs = _runs(job, batch, dropped, logits, (*DESTINATION_POINTS, "mixed"))
    for out, run in zip(sums, runs, strict=True):
        gradients = DestinationGradients()
        add_destination_gradients(gradients, model, run, 1.0)
        contract_edges(model, delta, gradients, out, seen["attention"])
        at_mixed.append(run.gradients["mixed"])
        del run  # it would be kept through the next one otherwise
    if qk_fix:
        fix = QueryKeyFix(model, batch.clean, seen)
        changes = Changes(model, clean, replacement, seen["attention"])
        for layer in range(graph.n_layers):
            per_run = torch.stack([gradient[layer] for gradient in at_mixed])
            _fix_layer(sums, layer, fix, changes, per_run)
    return sums


def _hidden_sums(
    job: Job, batch: Batch, dropped: Sequence[int | None]
) -> Float[Tensor, "run layer hidden"]:
    """Sums of hidden units over the batch's examples, per dropped layer."""
    replacement = job.ablation.replacement(job.model, batch)
    seen, logits = record(job.model, batch.clean)
    clean = outputs_of(job.model, batch.clean, seen)
    delta = delta_between(clean, replacement, job.model.sum_dtype)
    sums = job.zeros().new_zeros((len(dropped), *job.space.shape))
    for out, run in zip(sums, _runs(job, batch, dropped, logits, (HIDDEN,)), strict=True):
        contract_hidden(job.model, delta, run.gradients[HIDDEN], 1.0, out)
        del run  # it would be kept through the next one otherwise
    return sums


def _runs(
    job: Job,
    batch: Batch,
    dropped: Sequence[int | None],
    logits: Float[Tensor, "batch read vocab"],
    points: tuple[str, ...],
) -> Iterator[GradientPass]:
    """A run with gradients at some points for each dropped layer, side by side as memory allows."""
    for first in range(0, len(dropped), batch.at_once):
        some = dropped[first : first + batch.at_once]
        run_type = partial(DropRun, dropped=some)
        run = run_side_by_side(job, batch, len(some), points, logits, run_type=run_type)
        yield from run.row_groups(len(some))
        del run


def _fix_layer(
    sums: Float[Tensor, "run src dst"],
    layer: int,
    fix: QueryKeyFix,
    changes: Changes,
    gradients: Float[Tensor, "run batch pos head d_head"],
) -> None:
    """Overwrite the query and key columns of a layer."""
    graph = fix.model.graph
    n_before = int(graph.n_visible[graph.head_destination(layer)])
    per_pass = max(1, PATCHED_TOKENS // fix.inputs.ids.numel())
    for first in range(0, n_before, per_pass):
        rows = range(first, min(first + per_pass, n_before))
        change = torch.stack([changes.residual(source) for source in rows])
        for kind, effect in fix.effects(layer, change, gradients).items():
            columns = graph.kind_slice(layer, kind)
            sums[:, rows.start : rows.stop, columns] = -effect.to(sums.dtype)


def _mean_size(
    totals: Float[Tensor, "layer *units"], own: Int[Tensor, "*#units"]
) -> Float[Tensor, "*units"]:
    """Mean of |S_l| over the layers that are not a unit's own (-1: it has none)."""
    dropped = torch.arange(len(totals)).view(-1, *[1] * own.ndim)
    counts = (dropped != own).to(totals)
    return (totals.abs() * counts).sum(0) / counts.sum(0)


def _layers(graph: Graph, level: Level) -> Int[np.ndarray, "*#units"]:
    """The layer of every unit, in an array that is as long as theirs or 1 along each axis."""
    layers = np.arange(graph.n_layers)
    if level == HIDDEN_UNITS:
        return layers[:, None]
    if level == "node":
        return np.append(-1, np.repeat(layers, graph.sources_per_layer))
    return np.append(np.repeat(layers, graph.destinations_per_layer), -1)[None]


def passes(space: ScoreSpace, options: Mapping[str, Any]) -> float:
    """Both runs, a run with gradients per dropped layer, and patched attention for every source."""
    n_layers = space.graph.n_layers
    fix = options["qk_fix"] and space.level != HIDDEN_UNITS
    return 2 + 3 * (n_layers if options["grad_drop"] else 1) + n_layers * fix


def needs(level: str, options: Mapping[str, Any]) -> Needs:
    """Patched attention, and score sums of every dropped layer."""
    if level == HIDDEN_UNITS:
        return Needs(more=(hidden_drop_bytes,) if options["grad_drop"] else ())
    return Needs(patched=options["qk_fix"], more=(grad_drop_bytes,) if options["grad_drop"] else ())


def hidden_drop_bytes(model: CircuitModel) -> tuple[int, int]:
    """`grad_drop_bytes` of hidden units: of each dropped layer only sums are kept."""
    graph = model.graph
    return 0, 3 * 8 * graph.n_layers**2 * (graph.d_mlp or 0)


def grad_drop_bytes(model: CircuitModel) -> tuple[int, int]:
    """What GradDrop keeps: bytes per token, and bytes whatever the batch.

    For each dropped layer, the gradients at all layers' mixed values; and score sums of the batch,
    of the discovery, and their sizes at the end, in float64.
    """
    graph = model.graph
    width = max(graph.d_model, graph.n_heads * model.layers[0].d_head)
    per_token = graph.n_layers**2 * width * (torch.finfo(model.dtype).bits // 8)
    return per_token, 3 * 8 * graph.n_layers * graph.n_src * graph.n_dst


METHODS.register("AtP-star", also=("AtP*",))(
    Method(
        function=atp_star,
        options={
            "qk_fix": Option(Switch(), True, "exact attention patterns for queries and keys"),
            "grad_drop": Option(Switch(), True, "gradients with one layer dropped at a time"),
        },
        levels=("edge", "node", HIDDEN_UNITS),
        clean_only=True,
        samples=False,
        passes=passes,
        needs=needs,
        source="Kramar et al. 2024, arXiv 2403.00745",
    )
)
