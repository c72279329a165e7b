"""Runs with gradients, one after the other, added up into scores.

The gradients of all runs are added first and meet the output differences once: one contraction, as
the differences do not depend on the run. In post-norm models a head's difference passes through the
Jacobian of its post-norm, which differs from run to run, so there every run is contracted on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from harness_circuits.circuits.scores import HIDDEN_UNITS, Level
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.contract import (
    Delta,
    contract_edges,
    contract_hidden,
    contract_outputs,
)
from harness_circuits.passes.gradients import (
    DESTINATION_POINTS,
    OUTPUT_POINTS,
    DestinationGradients,
    GradientPass,
    OutputGradients,
    add_destination_gradients,
    add_output_gradients,
)
from harness_circuits.passes.native import HIDDEN


@dataclass(frozen=True)
class Weighted:
    """A run with gradients, and the weight of these."""

    run: GradientPass
    weight: float


@dataclass(frozen=True)
class GradientSums:
    """How runs become scores.

    Attributes:
        model: The model.
        level: Units that are scored.
        raw_heads: In post-norm models, take heads' outputs as they are before the post-norm.
        spans: The span of each of the runs' tokens, where edges are scored at every span.
        crossing: Whether runs also keep what the scores of crossing edges need.
    """

    model: CircuitModel
    level: Level
    raw_heads: bool = False
    spans: Int[Tensor, "batch pos"] | None = None
    crossing: bool = False

    @property
    def points(self) -> tuple[str, ...]:
        """The points that a run has to take gradients at."""
        if self.level != "edge":
            return (HIDDEN,) if self.level == HIDDEN_UNITS else OUTPUT_POINTS
        further = ("attention",) if self._run_by_run else ()
        return (*DESTINATION_POINTS, *further, *(("mixed",) if self.crossing else ()))

    @property
    def _run_by_run(self) -> bool:
        return self.model.layers[0].post_attention is not None and not self.raw_heads

    def add(
        self,
        runs: Iterator[Weighted],
        delta: Callable[[], Delta],
        total: Float[Tensor, "*units"],
        sources: slice | None = None,
    ) -> None:
        """Add the scores of some runs to a total.

        Args:
            runs: The runs; each is let go before the next one starts, as it is large.
            delta: Output differences, once the first run is there.
            total: Score sums.
            sources: Score only these rows of the total; by default all.
        """
        if self.level == "edge":
            self._add_edges(runs, delta, total, sources)
        elif self.level == HIDDEN_UNITS:
            self._add_hidden(runs, delta, total, sources)
        else:
            self._add_outputs(runs, delta, total, sources)

    def _add_edges(
        self,
        runs: Iterator[Weighted],
        delta: Callable[[], Delta],
        total: Float[Tensor, "*span src dst"],
        sources: slice | None,
    ) -> None:
        gradients: DestinationGradients | None = None
        for item in runs:
            gradients = gradients or DestinationGradients()
            add_destination_gradients(gradients, self.model, item.run, item.weight)
            if self._run_by_run:
                attention = item.run.seen["attention"]
                contract_edges(
                    self.model, delta(), gradients, total, attention, sources, spans=self.spans
                )
                gradients = None
                del attention
            del item  # it would be kept through the next run otherwise
        if gradients is not None:
            contract_edges(
                self.model,
                delta(),
                gradients,
                total,
                None,
                sources,
                raw_heads=self.raw_heads,
                spans=self.spans,
            )

    def _add_outputs(
        self,
        runs: Iterator[Weighted],
        delta: Callable[[], Delta],
        total: Float[Tensor, "src *model"],
        sources: slice | None,
    ) -> None:
        outputs: OutputGradients | None = None
        for item in runs:
            outputs = add_output_gradients(outputs, self.model, item.run, item.weight)
            del item  # it would be kept through the next run otherwise
        if outputs is not None:
            neurons = self.level == "neuron"
            out = contract_outputs(self.model, delta(), outputs, neurons=neurons)
            wanted = slice(None) if sources is None else sources
            total[wanted] += out[wanted]

    def _add_hidden(
        self,
        runs: Iterator[Weighted],
        delta: Callable[[], Delta],
        total: Float[Tensor, "layer hidden"],
        sources: slice | None,
    ) -> None:
        for item in runs:
            gradients = item.run.gradients[HIDDEN]
            contract_hidden(self.model, delta(), gradients, item.weight, total, sources)
            del gradients, item  # it would be kept through the next run otherwise
