"""Circuits of each of several tasks on all of them: is a circuit its task's own?

A circuit that is as faithful on other tasks as on its own is no circuit of a task but of the model. So
the circuit of task i is evaluated on the pairs of task j, for all i and j, beside random circuits of
the same sizes, and beside how much the circuits overlap. Discoveries, and values of the circuits of
some tasks on one, are kept as they come (`formats/kept.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from harness_circuits import __version__
from harness_circuits.attribution import METHODS
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.overlap import corrected_jaccard
from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.evaluation.gap import check_gap, gap_warnings
from harness_circuits.evaluation.null_circuits import random_circuits
from harness_circuits.experiment import Experiment
from harness_circuits.formats.kept import Kept, Say, Values
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.models.fingerprint import loaded_fingerprint
from harness_circuits.pairs.pair import Pair
from harness_circuits.records.transfer import Transfer, TransferMatrix
from harness_circuits.selection.given import Given
from harness_circuits.settings import Settings
from harness_circuits.statistics.ratio import ratio_intervals
from harness_circuits.studies.trials import Trials

LEARNING = "learning"  # folder of what methods that learn keep
AT_ONCE = 20  # circuits that are run together, at least, before their values are kept


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


def transfer(
    model: CircuitModel,
    tasks: Sequence[TaskPairs],
    settings: Settings,
    say: Say = lambda text: None,
    folder: Path | None = None,
) -> Transfer:
    """Discover a circuit for every task and evaluate all of them on all tasks.

    Args:
        model: The model.
        tasks: At least two tasks.
        settings: Settings of discovery and evaluation; `null_circuits` random circuits per circuit.
        say: Is told what each step costs, before it.
        folder: Where discoveries and values are kept, so that the same call goes on from there.

    Raises:
        CircuitError: A task, or the settings, cannot be used; nothing has been run then.
        NumericalError: Faithfulness is not defined on a task.
    """
    _check(tasks, settings)
    settings = _with_checkpoint(settings, folder)
    runs = [
        Experiment(model, settings, t.training, t.evaluation, task_metric=t.metric, task=t.name)
        for t in tasks
    ]
    kept, weights = Kept(folder, say), loaded_fingerprint(model.hf)
    say(_cost(settings, len(runs)))
    about = [_identity(run, weights) for run in runs]
    circuits = [_circuits(run, kept, own) for run, own in zip(runs, about, strict=True)]
    found = [_column(run, circuits, kept, own) for run, own in zip(runs, about, strict=True)]
    columns = [column for column, _ in found]
    warnings = [
        text for run, (_, own) in zip(runs, found, strict=True) for text in (*run.warnings, *own)
    ]
    shown = [(ranking, size) for ranking in settings.rankings for size in settings.sizes]
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


def _cost(settings: Settings, n: int) -> str:
    circuits, null = len(settings.rankings) * len(settings.sizes) * n, settings.null_circuits
    return (
        f"{n} discoveries, then {circuits} circuits and {null} random ones for each, on {n} tasks"
    )


def _check(tasks: Sequence[TaskPairs], settings: Settings) -> None:
    """Refuse tasks that make no matrix, and what would be passed over.

    Raises:
        TaskDataError: There is one task, or one twice.
        OptionError: Something is asked for that a matrix has none of.
    """
    if len(tasks) < 2 or len({task.name for task in tasks}) < len(tasks):
        raise TaskDataError("A transfer matrix needs two tasks or more, each once.")
    if settings.positions != "none":
        raise OptionError(
            f"positions={settings.positions}: a circuit over spans of one task's prompts says nothing of "
            "another's. Leave it out of a transfer matrix."
        )
    for name in ("evidence", "stability_resamples"):
        if getattr(settings, name):
            raise OptionError(
                f"{name} is about the circuits of one task, and a transfer matrix has none of it. Leave "
                "it out, or run the tasks with lm_eval."
            )


def _with_checkpoint(settings: Settings, folder: Path | None) -> Settings:
    """Have a method that learns go on within a discovery, too."""
    if folder is None or not METHODS.get(settings.method).learned:
        return settings
    options = {"checkpoint": str(folder / LEARNING), **settings.method_options}
    return replace(settings, method_options=options)


def _identity(run: Experiment, weights: str) -> str:
    """Everything that the numbers of one task depend on, as text; intervals are made of the numbers."""
    setup = run.setup
    settings = {k: v for k, v in setup.settings.to_dict().items() if k != "bootstrap_iters"}
    model = setup.model.name, str(setup.model.dtype), setup.model.graph.to_dict(), weights
    facts = settings, model, setup.task, setup.metric_name, run.fingerprints, __version__
    return json.dumps(facts, sort_keys=True, default=str)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"|".join(parts)).hexdigest()[:16]


def _circuits(run: Experiment, kept: Kept, about: str) -> Sequence[Circuit]:
    """One task's circuits, ranking by ranking and size by size."""
    task, identity = run.setup.task, _digest(about.encode())
    kept.say(f"discovery on {task}, {run.discovery.n_pairs} pairs")

    def select() -> list[Circuit]:
        found = Given.of(kept.scores(task, identity, run.discovery.scores))
        by_ranking = run.circuits(replace(found, measure=Trials(run.discovery)))
        return [circuit for chosen in by_ranking.values() for circuit in chosen]

    return kept.circuits(task, identity, select)


def _column(
    run: Experiment, circuits: Sequence[Sequence[Circuit]], kept: Kept, about: str
) -> tuple[Float[np.ndarray, "number row circuit"], list[str]]:
    """Faithfulness of all circuits on one task with its interval, and warnings about the task's gap.

    The circuits of so many tasks are run together that running the model and the empty circuit anew for
    each lot adds little.
    """
    setup, null = run.setup, run.setup.settings.null_circuits
    rows = -(-AT_ONCE // (len(circuits[0]) * (1 + null)))
    lots = [circuits[first : first + rows] for first in range(0, len(circuits), rows)]
    parts, warnings, without_spread = [], list[str](), 0
    for at, lot in enumerate(lots, 1):
        kept.say(f"circuits of all tasks on {setup.task}, part {at} of {len(lots)}")
        some = [circuit for own in lot for circuit in own]
        identity = _digest(about.encode(), *(circuit.kept.tobytes() for circuit in some))
        found = kept.values(setup.task, identity, partial(_values, run, some))
        check_gap(found["full"], found["empty"], setup.task, found["rounding"])
        numbers, left_out = _numbers(run, found, len(some))
        parts.append(numbers.reshape(4, len(lot), -1))
        without_spread = max(without_spread, left_out)
        accuracy = found["full_accuracy"], found["empty_accuracy"]
        warnings = warnings or gap_warnings(found["full"], found["empty"], *accuracy, setup.task)
    if without_spread:
        text = f"{without_spread} resamples have no spread, and are left out of intervals"
        warnings = [*warnings, f"{setup.task}: {text}"]
    return np.concatenate(parts, axis=1), warnings


def _values(run: Experiment, circuits: Sequence[Circuit]) -> Values:
    """Circuits, then random ones of their sizes, on a task's pairs."""
    setup, settings = run.setup, run.setup.settings
    null = random_circuits(circuits, settings.null_circuits, settings.seed)
    how = setup.metric, run.discovery.ablation, setup.ranks
    found = evaluate_circuits(
        setup.model, run.evaluation, [*circuits, *null], *how, direction=settings.direction
    )
    names = ("full", "empty", "rounding", "full_accuracy", "empty_accuracy", "circuits")
    return {name: getattr(found, name) for name in names}


def _numbers(
    run: Experiment, found: Values, n_circuits: int
) -> tuple[Float[np.ndarray, "number circuit"], int]:
    """Faithfulness, both ends of its interval, that of random circuits (NaN: none).

    And how many resamples of any interval have no spread.
    """
    settings = run.setup.settings
    gap, above = found["full"] - found["empty"], found["circuits"] - found["empty"]
    own = ratio_intervals(above[:n_circuits], gap, settings.bootstrap_iters, settings.seed)
    random = np.full(n_circuits, np.nan)
    if settings.null_circuits:
        f = above[n_circuits:].mean(1) / gap.mean()
        random = f.reshape(n_circuits, settings.null_circuits).mean(1)
    return np.stack([own.value, own.low, own.high, random]), own.without_spread


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
