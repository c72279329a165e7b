"""One circuit under every ablation, in both directions, by every metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness_circuits.ablation import ABLATIONS, Ablation
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.errors import CircuitError
from harness_circuits.evaluation.direction import DIRECTIONS, NOISING
from harness_circuits.evaluation.evaluate import evaluate_by_metrics
from harness_circuits.evaluation.result import ExampleValues
from harness_circuits.machine.ranks import Ranks
from harness_circuits.metrics.metrics import METRICS, Metric
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch


@dataclass(frozen=True)
class Cell:
    """One setting of the grid.

    Attributes:
        ablation: What replaces removed units.
        direction: Which way circuits are run.
        metric: What they are measured by.
        values: Values per example; None where the setting is not defined here.
        why_not: Why it is not.
    """

    ablation: str
    direction: str
    metric: str
    values: ExampleValues | None
    why_not: str = ""


def settings_of_the_grid() -> list[tuple[str, str]]:
    """Ablations and directions that are defined together."""
    return [
        (ablation, direction)
        for ablation in ABLATIONS
        for direction in DIRECTIONS
        if direction == NOISING or ablation == "patching"
    ]


def metrics_of_the_grid(own: Metric) -> dict[str, Metric]:
    """The metrics that pairs which were encoded for a task's own metric can be measured by.

    Metrics that compare first tokens ask for pairs that were checked for them.
    """
    found = {name: METRICS.get(name) for name in METRICS}
    return {
        name: metric
        for name, metric in found.items()
        if own.compares_first_tokens or not metric.compares_first_tokens
    }


def evaluate_grid(
    model: CircuitModel,
    batches: Sequence[Batch],
    circuits: Sequence[Circuit],
    own: Metric,
    make: Callable[[str], Ablation],
    ranks: Ranks,
) -> Iterator[Cell]:
    """Evaluate circuits under every setting; metrics share the runs.

    Args:
        model: The model.
        batches: Evaluation pairs.
        circuits: Circuits over the model's graph.
        own: The task's metric.
        make: Makes an ablation by its name.
        ranks: The processes that share the batches.
    """
    metrics = metrics_of_the_grid(own)
    for ablation, direction in settings_of_the_grid():
        found: list[ExampleValues | None] = [None] * len(metrics)
        why_not = ""
        try:
            how = list(metrics.values()), make(ablation), ranks
            found[:] = evaluate_by_metrics(model, batches, circuits, *how, direction=direction)
        except CircuitError as error:
            why_not = str(error)
        for name, values in zip(metrics, found, strict=True):
            yield Cell(ablation, direction, name, values, why_not)
