"""CEAP, conductance edge attribution patching (arXiv 2606.16920).

Along the path of EAP-IG-inputs, from the replaced to the clean embeddings, gradients meet what the
source's output changes by between neighbouring points, in place of what it changes by in all:

    S(u -> v) = sum over steps k of  < a_u(k + 1) - a_u(k),  d metric / d input of v >

(Our reading of the paper's conductance; its quadrature is not known to us, so the gradient's place in
each step is an option.) A source that moves where the gradient is small gets little, and the scores of
all edges through any cut of the graph, such as those into the logits, add up to what the path changes
the metric by, as the number of steps grows. The path is all that is replaced: ablations enter by what
they put in place of the embeddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.attribution.eap_ig_inputs import IG_STEPS
from harness_circuits.attribution.gradient import run_side_by_side
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.options import Option
from harness_circuits.options.kinds import Choice
from harness_circuits.pairs.batch import Batch
from harness_circuits.passes.contract import Delta, delta_between
from harness_circuits.passes.gradient_sums import Weighted
from harness_circuits.passes.gradients import GradientPass
from harness_circuits.passes.memory import Needs
from harness_circuits.passes.native import OUTPUTS, NativeRun, Outputs, outputs_of, record

RULES = ("left", "right", "midpoint")


def ceap(job: Job, *, ig_steps: int, ig_rule: str) -> Scores:
    """Score by gradients and increments along the path between replaced and clean embeddings.

    Args:
        job: Model, data, metric, level and ablation.
        ig_steps: Number of steps.
        ig_rule: Where in each step the gradient is taken: at its replaced end (`left`), at its
            clean end (`right`), or half-way (`midpoint`).
    """
    sums = job.sums()
    for batch in job.watched("discovery", sums):
        _ConductanceBatch(job, batch).add_to(sums.total, ig_steps, ig_rule)
    return job.scores(sums)


class _ConductanceBatch:
    """The work for one batch."""

    def __init__(self, job: Job, batch: Batch) -> None:
        self.job, self.batch, self.model = job, batch, job.model
        self.sums = job.gradient_sums(batch)
        replaced = job.ablation.replacement(self.model, batch).embedded
        seen, self.clean_logits = record(self.model, batch.clean)
        self.clean = outputs_of(self.model, batch.clean, seen)
        self.start, self.change = seen["block_in"][0], replaced - self.clean.embedded

    def add_to(self, total: Float[Tensor, "*units"], steps: int, rule: str) -> None:
        """Add this batch's score sums, step by step."""
        grid = [step / steps for step in range(steps + 1)]
        for run, delta in self._halves(grid) if rule == "midpoint" else self._ends(grid, rule):
            self.sums.add(iter([Weighted(run, 1.0)]), partial(_same, delta), total)

    def _ends(self, grid: Sequence[float], rule: str) -> Iterator[tuple[GradientPass, Delta]]:
        """Gradients at one end of each step: the walk reaches that end after the other."""
        up = rule == "right"
        known = self._outputs(grid[0]) if up else self.clean
        for run in self._runs(grid[1:] if up else grid[-2::-1]):
            here = outputs_of(self.model, self.batch.clean, run.seen)
            low, high = (known, here) if up else (here, known)
            yield run, delta_between(high, low, self.model.sum_dtype)
            known = here

    def _halves(self, grid: Sequence[float]) -> Iterator[tuple[GradientPass, Delta]]:
        """Gradients half-way in each step, from the clean end down."""
        known, lower = self.clean, grid[-2::-1]
        middles = [alpha + (grid[1] - grid[0]) / 2 for alpha in lower]
        for alpha, run in zip(lower, self._runs(middles), strict=True):
            low = self._outputs(alpha)
            yield run, delta_between(known, low, self.model.sum_dtype)
            known = low

    def _between(self, alpha: float) -> Float[Tensor, "batch pos model"]:
        return self.start + (1 - alpha) * self.change

    def _outputs(self, alpha: float) -> Outputs:
        """What all sources put out at a point of the path."""
        run = NativeRun(self.model, OUTPUTS, self._between(alpha))
        with torch.no_grad():
            self.model.forward(self.batch.clean, run)
        return outputs_of(self.model, self.batch.clean, run.seen)

    def _runs(self, alphas: Sequence[float]) -> Iterator[GradientPass]:
        """Runs with gradients at points of the path, some side by side."""
        for first in range(0, len(alphas), self.batch.at_once):
            some = alphas[first : first + self.batch.at_once]
            start, n = torch.cat([self._between(alpha) for alpha in some]), len(some)
            how = self.job, self.batch, n, self.sums.points, self.clean_logits, start
            # Not named, as a run that this function held would be kept through the next one.
            yield from run_side_by_side(*how, keep=OUTPUTS).row_groups(n)


def _same(delta: Delta) -> Delta:
    return delta


def passes(space: ScoreSpace, options: Mapping[str, Any]) -> float:
    """Both runs and one with gradients per step; with other rules than `left`, ends beside them."""
    steps = options["ig_steps"]
    beside = {"left": 0, "right": 1, "midpoint": steps}[options["ig_rule"]]
    return float(2 + 3 * steps + beside)


def outputs_bytes(model: CircuitModel) -> tuple[int, int]:
    """What the neighbouring point's outputs take, per token, and nothing whatever the batch."""
    graph = model.graph
    heads = graph.n_heads * model.layers[0].d_head
    numbers = graph.d_model + graph.n_layers * (heads + graph.d_model)
    return numbers * torch.finfo(model.dtype).bits // 8, 0


METHODS.register("CEAP", also=("conductance", "EAP-IG-inputs-local"))(
    Method(
        function=ceap,
        options={
            "ig_steps": IG_STEPS,
            "ig_rule": Option(Choice(RULES), "left", "where in each step the gradient is taken"),
        },
        without=("zero",),
        positions=True,
        passes=passes,
        needs=lambda level, options: Needs(more=(outputs_bytes,)),
        source="arXiv 2606.16920",
    )
)
