"""Exact patching: the metric's fall when one unit alone is replaced.

Node by node as in Wang et al. 2023 (arXiv 2211.00593), edge by edge as in Conmy et al. 2023
(arXiv 2304.14997):

    score(unit) = m(clean run) - m(clean run with this unit replaced),   mean over examples

An edge is replaced for its destination alone; a node for all that read it; a neuron is one
component of a node's output, an mlp-neuron one hidden unit of an MLP, again for all readers. What
follows is recomputed. One patched run per unit and batch: several units share a pass, and each starts
at its own layer, but this is still orders of magnitude dearer than any gradient method.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.graph import QKV, Graph
from harness_circuits.circuits.scores import HIDDEN_UNITS, Scores, ScoreSpace
from harness_circuits.machine.progress import progress
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.changes import Changes
from harness_circuits.passes.memory import PATCHED_TOKENS, Needs
from harness_circuits.passes.native import HIDDEN, OUTPUTS, outputs_of, record
from harness_circuits.passes.patched import Patch, run_patched

logger = logging.getLogger("lm_eval")

MANY_RUNS = 20_000

Unit = tuple[int, int]  # (source, destination), (source, 0), (source, neuron), (layer, neuron)
Point = tuple[int, str, int]  # (layer, point, head) of harness_circuits.passes.patched


def exact(job: Job) -> Scores:
    """Score every unit by running the model with it replaced."""
    n_runs = job.space.n_units * len(job.own)
    if n_runs > MANY_RUNS:
        logger.warning(
            "method=exact runs the model once per unit: %d %ss x %d batches = %d patched runs of up"
            " to %d prompts each on %s. The time left is shown; fewer pairs "
            "(n_discovery), level=node, or a gradient method such as EAP-IG-inputs take less.",
            job.space.n_units,
            job.level,
            len(job.own),
            n_runs,
            max(len(batch) for batch in job.batches),
            job.model.name,
        )
    sums = job.sums()
    with progress(n_runs, "discovery", "patched runs") as bar, job.model.tells(bar.alive):
        for batch in (job.batches[at] for at in job.own):
            _ExactBatch(job, job.prepared(batch)).add_to(sums.total, bar.advance)
            sums.batch_done()
    return job.scores(sums)


class _ExactBatch:
    """The work for one batch."""

    def __init__(self, job: Job, batch: Batch) -> None:
        self.job, self.batch, self.model = job, batch, job.model
        replacement = job.ablation.replacement(self.model, batch)
        self.seen, self.logits = record(self.model, batch.clean, (*OUTPUTS, "attention"))
        self.base = job.metric(self.logits, batch, self.logits)
        clean = outputs_of(self.model, batch.clean, self.seen)
        self.changes = Changes(self.model, clean, replacement, self.seen["attention"])

    @torch.no_grad()
    def add_to(self, total: Float[Tensor, "*units"], advance: Callable[[int], object]) -> None:
        """Add this batch's score sums."""
        per_pass = max(1, PATCHED_TOKENS // self.batch.clean.ids.numel())
        flat = total.view(total.shape[0], -1)
        for layer, units, points in _groups(self.job.space):
            for first in range(0, len(units), per_pass):
                chosen = slice(first, first + per_pass)
                fall = self._fall(layer, units[chosen], points[chosen])
                sources, others = np.array(units[chosen]).T
                flat[torch.from_numpy(sources), torch.from_numpy(others)] += fall.to(flat)
                advance(len(units[chosen]))

    def _fall(self, layer: int, units: list[Unit], points: list[Point]) -> Float[Tensor, "unit"]:
        change = torch.stack([self._change(*unit) for unit in units])
        kinds, heads = zip(*((point, head) for _, point, head in points), strict=True)
        logits = run_patched(
            self.model, self.batch.clean, self.seen, Patch(layer, kinds, heads, change)
        )
        falls = [self.base - self.job.metric(row, self.batch, self.logits) for row in logits]
        return torch.stack(falls).sum(1, dtype=torch.float64)

    def _change(self, source: int, other: int) -> Float[Tensor, "batch pos width"]:
        """What replacing a unit adds at its point."""
        if self.job.level == "edge":
            return self.changes.residual(source)
        hidden = self.job.level == HIDDEN_UNITS
        change = self.changes.hidden[source] if hidden else self.changes.output(source)
        if self.job.level == "node":
            return change
        one = torch.zeros_like(change)
        one[..., other] = change[..., other]
        return one


def _groups(space: ScoreSpace) -> Iterator[tuple[int, list[Unit], list[Point]]]:
    """Units that can share a pass: they are patched in the same layer."""
    graph = space.graph
    if space.level == HIDDEN_UNITS:
        n_layers, width = space.shape
        for layer in range(n_layers):
            yield layer, [(layer, i) for i in range(width)], [(layer, HIDDEN, 0)] * width
        return
    if space.level == "edge":
        for columns in _destination_groups(graph):
            units = [(u, v) for v in columns for u in range(graph.n_visible[v])]
            points = [_input_point(graph, v) for _, v in units]
            yield points[0][0], units, points
        return
    others = range(graph.d_model) if space.level == "neuron" else range(1)
    for sources in _source_groups(graph):
        units = [(u, i) for u in sources for i in others]
        points = [_output_point(graph, u) for u, _ in units]
        yield points[0][0], units, points


def _destination_groups(graph: Graph) -> Iterator[range]:
    for layer in range(graph.n_layers):
        is_last = layer == graph.n_layers - 1  # the logits are patched in the last layer
        yield range(graph.attention_slice(layer).start, graph.mlp_destination(layer) + 1 + is_last)


def _source_groups(graph: Graph) -> Iterator[range]:
    yield range(1)
    for layer in range(graph.n_layers):
        yield range(graph.head_source(layer), graph.mlp_source(layer) + 1)


def _input_point(graph: Graph, destination: int) -> Point:
    """Where the input of a destination is patched."""
    if destination == graph.n_dst - 1:
        return graph.n_layers - 1, "final", 0
    layer = destination // graph.destinations_per_layer
    if destination == graph.mlp_destination(layer):
        return layer, "mlp_in", 0
    starts = {kind: graph.head_destination(layer, kind) for kind in QKV}
    kind = max((kind for kind in QKV if starts[kind] <= destination), key=starts.__getitem__)
    return layer, kind, destination - starts[kind]


def _output_point(graph: Graph, source: int) -> Point:
    """Where the output of a source is patched."""
    if source == 0:
        return 0, "block_in", 0
    layer, part = divmod(source - 1, graph.sources_per_layer)
    return layer, "mlp" if part == graph.n_heads else "attention", 0


def passes(space: ScoreSpace, options: Mapping[str, Any]) -> float:
    """The clean and the corrupted run, and half of one per unit: each starts at its own layer."""
    return 2 + space.n_units / 2


METHODS.register("exact", also=("activation-patching",))(
    Method(
        function=exact,
        gradients=False,
        passes=passes,
        needs=lambda level, options: Needs(patched=True),
        source="Wang et al. 2023, arXiv 2211.00593; Conmy et al. 2023, arXiv 2304.14997",
    )
)
