"""Circuits of each of several tasks on all of them: is a circuit its task's own?

A circuit that is as faithful on other tasks as on its own is no circuit of a task but of the model. So
the circuit of task i is evaluated on the pairs of task j, for all i and j, beside random circuits of
the same sizes, and beside how much the circuits overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.overlap import corrected_jaccard
from harness_circuits.errors import TaskDataError
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.evaluation.gap import check_gap, gap_warnings
from harness_circuits.evaluation.null_circuits import random_circuits
from harness_circuits.experiment import Experiment
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair
from harness_circuits.selection.given import Given
from harness_circuits.settings import Settings
from harness_circuits.statistics.ratio import ratio_intervals

Matrix = list[list[float]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class TaskPairs:
    """The pairs of one task.

    Attributes:
        name: What results call it.
        training: Pairs to discover on.
        evaluation: Pairs to evaluate on.
        metric: The task's own metric.
    """

    name: str
    training: Sequence[Pair]
    evaluation: Sequence[Pair]
    metric: str = "logit_diff"


@dataclass(frozen=True)
class TransferMatrix:
    """The circuits of one ranking and size: rows are tasks they are of, columns tasks they are run on.

    Attributes:
        ranking: What they were ranked by.
        size: The size that was asked for.
        kept: Units that the circuit of each task keeps.
        faithfulness: Faithfulness.
        ci95_low: Lower ends of its 95% intervals over evaluation pairs; None where there are none.
        ci95_high: Upper ends.
        random: Mean faithfulness of random circuits of the row's size; None without any.
        above_random: (f - random) / (1 - random): 0 as random ones, 1 as the model; None without any.
        jaccard: Jaccard index of the circuits of two tasks.
        corrected_jaccard: The same, corrected for chance (`circuits.overlap`).
    """

    ranking: str
    size: float
    kept: list[int]
    faithfulness: Matrix
    ci95_low: list[list[float | None]]
    ci95_high: list[list[float | None]]
    random: Matrix | None
    above_random: Matrix | None
    jaccard: Matrix
    corrected_jaccard: Matrix


@dataclass(frozen=True)
class Transfer:
    """All matrices of some tasks.

    Attributes:
        model: Name of the model.
        tasks: Names of the tasks, in the order of rows and columns.
        n_discovery: Training pairs of each.
        n_evaluation: Evaluation pairs of each.
        settings: Settings in force.
        matrices: One per ranking and size.
        warnings: What makes the numbers say less than they seem to.
    """

    model: str
    tasks: tuple[str, ...]
    n_discovery: tuple[int, ...]
    n_evaluation: tuple[int, ...]
    settings: dict[str, Any]
    matrices: tuple[TransferMatrix, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"kind": "transfer", **asdict(self)}


def transfer(
    model: CircuitModel,
    tasks: Sequence[TaskPairs],
    settings: Settings,
    say: Say = lambda text: None,
) -> Transfer:
    """Discover a circuit for every task and evaluate all of them on all tasks.

    Args:
        model: The model.
        tasks: At least two tasks.
        settings: Settings of discovery and evaluation; `null_circuits` random circuits per circuit.
        say: Is told what each step costs, before it.

    Raises:
        CircuitError: A task, or the settings, cannot be used; nothing has been run then.
        NumericalError: Faithfulness is not defined on a task.
    """
    if len(tasks) < 2 or len({task.name for task in tasks}) < len(tasks):
        raise TaskDataError("A transfer matrix needs two tasks or more, each once.")
    runs = [
        Experiment(model, settings, t.training, t.evaluation, task_metric=t.metric, task=t.name)
        for t in tasks
    ]
    say(
        f"{len(runs)} discoveries, then {len(settings.rankings) * len(settings.sizes) * len(runs)} "
        f"circuits and {settings.null_circuits} random ones for each, on {len(runs)} tasks"
    )
    circuits = [_circuits(run, say) for run in runs]
    shown = [(ranking, size) for ranking in settings.rankings for size in settings.sizes]
    columns, warnings = [], list[str]()
    for run in runs:
        say(f"all circuits on {run.setup.task}")
        column, more = _column(run, [circuit for own in circuits for circuit in own])
        warnings += [*run.warnings, *more]
        columns.append(column.reshape(4, len(runs), len(shown)))
    matrices = [
        _matrix(str(ranking), size, [own[at] for own in circuits], [c[:, :, at] for c in columns])
        for at, (ranking, size) in enumerate(shown)
    ]
    return Transfer(
        model.name,
        tuple(task.name for task in tasks),
        tuple(run.discovery.n_pairs for run in runs),
        tuple(sum(map(len, run.evaluation)) for run in runs),
        settings.to_dict(),
        tuple(matrices),
        tuple(warnings),
    )


def _circuits(run: Experiment, say: Say) -> list[Circuit]:
    """One task's circuits, ranking by ranking and size by size."""
    say(f"discovery on {run.setup.task}, {run.discovery.n_pairs} pairs")
    by_ranking = run.circuits(Given.of(run.discovery.scores()))
    return [circuit for chosen in by_ranking.values() for circuit in chosen]


def _column(
    run: Experiment, circuits: Sequence[Circuit]
) -> tuple[Float[np.ndarray, "number circuit"], list[str]]:
    """Faithfulness on one task, both ends of its interval, and that of random circuits (NaN: none).

    And warnings about the task's gap.
    """
    setup, settings = run.setup, run.setup.settings
    null = random_circuits(circuits, settings.null_circuits, settings.seed)
    how = setup.metric, run.discovery.ablation, setup.ranks
    found = evaluate_circuits(
        setup.model, run.evaluation, [*circuits, *null], *how, direction=settings.direction
    )
    check_gap(found.full, found.empty, setup.task, found.rounding)
    gap, above = found.full - found.empty, found.circuits - found.empty
    own = ratio_intervals(above[: len(circuits)], gap, settings.bootstrap_iters, settings.seed)
    random = np.full(len(circuits), np.nan)
    if null:
        f = above[len(circuits) :].mean(1) / gap.mean()
        random = f.reshape(len(circuits), settings.null_circuits).mean(1)
    values = found.full, found.empty, found.full_accuracy, found.empty_accuracy
    return np.stack([own.value, own.low, own.high, random]), gap_warnings(*values, setup.task)


def _matrix(
    ranking: str,
    size: float,
    circuits: Sequence[Circuit],
    columns: Sequence[Float[np.ndarray, "number row"]],
) -> TransferMatrix:
    f, low, high, random = np.stack(columns, axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.where(random == 1, np.nan, (f - random) / (1 - random))
    known = not np.isnan(random).any()
    overlaps = [
        [[measure(one, other) for other in circuits] for one in circuits]
        for measure in (Circuit.jaccard, corrected_jaccard)
    ]
    return TransferMatrix(
        ranking,
        size,
        [circuit.n_kept for circuit in circuits],
        f.tolist(),
        _or_none(low),
        _or_none(high),
        random.tolist() if known else None,
        np.nan_to_num(above, nan=1.0).tolist() if known else None,
        *overlaps,
    )


def _or_none(ends: Float[np.ndarray, "row column"]) -> list[list[float | None]]:
    return [[None if np.isnan(end) else float(end) for end in row] for row in ends]
