"""The evaluation half of an experiment: run circuits over evaluation pairs, and make curves of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from harness_circuits.ablation import ABLATIONS, Ablation
from harness_circuits.ablation.retrained import Retrained
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import NumericalError
from harness_circuits.evaluation.circuit_logits import circuit_logits
from harness_circuits.evaluation.curve import CurveValues
from harness_circuits.evaluation.direction import NOISING, batch_to_run, circuits_to_run
from harness_circuits.evaluation.distinct import distinct_runs
from harness_circuits.evaluation.gap import check_gap
from harness_circuits.evaluation.null_circuits import random_circuits
from harness_circuits.evaluation.result import Curve, Everywhere, ExampleValues
from harness_circuits.evaluation.rounding import rounding_error
from harness_circuits.machine.progress import progress
from harness_circuits.machine.ranks import ALONE, Ranks
from harness_circuits.metrics.accuracy import accuracy
from harness_circuits.metrics.metrics import Metric, answer_log_probs
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, whole_batches
from harness_circuits.passes.shared_prefix import behind_shared_prefix


def evaluate_curves(
    model: CircuitModel,
    batches: Sequence[Batch],
    circuits: Mapping[Ranking, Sequence[Circuit]],
    metric: Metric,
    ablation: Ablation,
    *,
    sizes: tuple[float, ...],
    task: str,
    null_circuits: int = 0,
    seed: int = 0,
    ranks: Ranks = ALONE,
    direction: str = NOISING,
    beside: Mapping[Ranking, Everywhere] = MappingProxyType({}),
) -> tuple[ExampleValues, tuple[Curve, ...]]:
    """Evaluate circuits of all rankings, and random ones, on the same pairs.

    Args:
        model: The model.
        batches: Evaluation pairs.
        circuits: Per ranking, the circuit of each size.
        metric: Task metric.
        ablation: What replaces everything outside a circuit.
        sizes: Requested sizes, ascending fractions of all units.
        task: What messages call the pairs.
        null_circuits: Random circuits to run beside each circuit.
        seed: Seed of their draw.
        ranks: The processes that share the batches.
        direction: Which way circuits are run (`DIRECTIONS`).
        beside: Of circuits over spans, per ranking, those without.

    Raises:
        MismatchError: A circuit belongs to another graph.
        NumericalError: A logit is not finite, or faithfulness is undefined.
    """
    found = [circuit for chosen in circuits.values() for circuit in chosen]
    null = random_circuits(found, null_circuits, seed)
    how = metric, ablation, ranks
    plain = [circuit for each in beside.values() for circuit in each.circuits]
    every = found + null + plain
    examples = evaluate_circuits(model, batches, every, *how, direction=direction)
    check_gap(examples.full, examples.empty, task, examples.rounding)
    return examples, _curves(examples, circuits, sizes, null, beside)


def _curves(
    examples: ExampleValues,
    circuits: Mapping[Ranking, Sequence[Circuit]],
    sizes: tuple[float, ...],
    null: Sequence[Circuit],
    beside: Mapping[Ranking, Everywhere],
) -> tuple[Curve, ...]:
    """Curves from the values of the circuits of all rankings, then of random ones, then without spans."""
    n_found, full, empty = sum(map(len, circuits.values())), examples.full, examples.empty
    shape = (n_found, len(null) // n_found)
    null_values = examples.circuits[n_found:][: len(null)]
    null_values = null_values.reshape(*shape, len(examples.indices))
    plain_values = iter(np.split(examples.circuits[n_found + len(null) :], max(1, len(beside))))
    null_kept = np.array([circuit.n_kept for circuit in null], dtype=int).reshape(shape)
    curves, first = [], 0
    for ranking, chosen in circuits.items():
        rows = slice(first, first + len(chosen))
        first += len(chosen)
        values = CurveValues(sizes, full, empty, examples.circuits[rows])
        columns = examples.accuracy[rows], null_values[rows], null_kept[rows]
        own = (beside[ranking], next(plain_values)) if ranking in beside else (None, None)
        curves.append(Curve(ranking, values, tuple(chosen), *columns, None, *own))
    return tuple(curves)


def evaluate_circuits(
    model: CircuitModel,
    batches: Sequence[Batch],
    circuits: Sequence[Circuit],
    metric: Metric,
    ablation: Ablation,
    ranks: Ranks = ALONE,
    *,
    direction: str = NOISING,
) -> ExampleValues:
    """Evaluate circuits, the full model and the empty circuit on the same pairs, by one metric.

    Arguments and errors are those of `evaluate_by_metrics`.
    """
    how = {"direction": direction}
    return evaluate_by_metrics(model, batches, circuits, [metric], ablation, ranks, **how)[0]


def evaluate_by_metrics(
    model: CircuitModel,
    batches: Sequence[Batch],
    circuits: Sequence[Circuit],
    metrics: Sequence[Metric],
    ablation: Ablation,
    ranks: Ranks = ALONE,
    *,
    direction: str = NOISING,
) -> list[ExampleValues]:
    """Evaluate circuits, the full model and the empty circuit on the same pairs.

    Args:
        model: The model.
        batches: Evaluation pairs.
        circuits: Circuits over the model's graph.
        metrics: What the same runs are measured by.
        ablation: What replaces everything outside a circuit; constants that are learned anew for each
            are, for all of them, before anything is run.
        ranks: The processes that share the batches; each gets the values of all.
        direction: Which way circuits are run (`DIRECTIONS`).

    Returns:
        Values by each metric.

    Raises:
        NumericalError: A logit is not finite.
        MismatchError: A circuit belongs to another graph.
    """
    empty = Circuit.empty(circuits[0].space if circuits else ScoreSpace(model.graph))
    *wanted, nothing = circuits_to_run([*circuits, empty], direction)
    prune = ABLATIONS.get(ablation.name).follows_corrupted
    distinct, which = distinct_runs(wanted, nothing, prune=prune)
    model = model.at(distinct[-1].space.level)
    each = ablation.for_each(distinct) if isinstance(ablation, Retrained) else [ablation]
    batches = whole_batches(batches) if _runs_whole(distinct, each[0]) else batches
    order = [index for batch in batches for index in batch.indices]
    own, found = ranks.share([b.clean.ids.numel() for b in batches]), dict[int, _Part]()
    n_own = sum(len(batches[at]) for at in own)
    with progress(n_own, "evaluation", "pairs") as bar, model.tells(bar.alive):
        for at in own:
            how = metrics, each, direction
            found[at] = _evaluate_batch(model, batches[at], distinct, *how)
            bar.advance(len(batches[at]))
    for others in ranks.gather(found):
        found |= others
    return _by_metric([found[at] for at in range(len(batches))], order, which)


def _by_metric(
    parts: Sequence[_Part], order: Sequence[int], which: Int[np.ndarray, "circuit"]
) -> list[ExampleValues]:
    """Values of all batches by each metric, in the order of the pairs' indices."""
    rank = np.argsort(order, kind="stable")
    columns = zip(*(part.arrays for part in parts), strict=True)
    in_order = (np.concatenate(column, axis=-1)[..., rank] for column in columns)
    full, full_accuracy, rounding, values, hits = in_order
    shared = {
        "indices": tuple(order[i] for i in rank),
        "accuracy": hits[which],
        "full_accuracy": full_accuracy,
        "log_probs": _sorted((part.log_probs for part in parts), rank),
        "greedy": _sorted((part.greedy for part in parts), rank),
        "empty_accuracy": hits[-1],
    }
    return [
        ExampleValues(full=own, empty=v[-1], circuits=v[which], rounding=error, **shared)
        for own, v, error in zip(full, values, rounding, strict=True)
    ]


def _sorted(parts: Iterable[list[list[Any]]], rank: Int[np.ndarray, "example"]) -> list[list[Any]]:
    rows = [row for part in parts for row in part]
    return [rows[i] for i in rank]


@dataclass(frozen=True)
class _Part:
    arrays: tuple[np.ndarray, ...]
    log_probs: list[list[float]]
    greedy: list[list[bool]]


@torch.no_grad()
def _evaluate_batch(
    model: CircuitModel,
    batch: Batch,
    distinct: Sequence[Circuit],
    metrics: Sequence[Metric],
    ablations: Sequence[Ablation],
    direction: str,
) -> _Part:
    if not _runs_whole(distinct, ablations[0]):
        batch = behind_shared_prefix(model, batch)
    clean = model.forward(batch.clean)
    run = batch_to_run(batch, direction)
    whole = clean if run is batch else model.forward(run.clean)
    values, hits = [], []
    for logits in circuit_logits(model, distinct, run, ablations, whole):
        _check_finite(logits, model, batch)
        values.append([_numpy(metric(logits, batch, clean)) for metric in metrics])
        hits.append(_numpy(accuracy(logits, batch)))
    # The empty circuit comes last.
    errors = [
        np.array([_numpy(rounding_error(metric, x, batch, clean)) for metric in metrics])
        for x in (clean, logits)
    ]
    scores = answer_log_probs(clean.to(model.sum_dtype), batch.answers)
    best = _greedy(clean, batch)
    n_choices = batch.answers.real[:, :, 0].sum(1).tolist()
    return _Part(
        (
            np.array([_numpy(metric(clean, batch, clean)) for metric in metrics]),
            _numpy(accuracy(clean, batch)),
            np.hypot(*errors),
            np.array(values).swapaxes(0, 1),
            np.array(hits),
        ),
        [row[:n] for row, n in zip(scores.tolist(), n_choices, strict=True)],
        [row[:n] for row, n in zip(best.tolist(), n_choices, strict=True)],
    )


def _runs_whole(circuits: Sequence[Circuit], ablation: Ablation) -> bool:
    """Whether all tokens are run, also those that the prompts of a pair share."""
    # A replaced query looks at shared tokens too.
    from_start = any(circuit.space.crossing for circuit in circuits)
    return from_start or not ABLATIONS.get(ablation.name).follows_corrupted


def _greedy(
    logits: Float[Tensor, "batch read vocab"], batch: Batch
) -> Bool[Tensor, "batch choice"]:
    """Whether each answer's tokens are the likeliest at every step."""
    reads, tokens = batch.answers.reads.to(logits.device), batch.answers.tokens.to(logits.device)
    likeliest = logits.argmax(-1).gather(1, reads.flatten(1)).view_as(reads)
    return ((likeliest == tokens) | ~batch.answers.real.to(logits.device)).all(-1)


def _check_finite(logits: Tensor, model: CircuitModel, batch: Batch) -> None:
    # A sum is finite only if all of it is, and reads the logits once.
    if not torch.isfinite(logits.sum(dtype=torch.promote_types(logits.dtype, torch.float32))):
        raise NumericalError(
            f"The logits of {model.name} are not finite on pair {batch.indices[0]} or one near it. "
            f"dtype={str(model.dtype).removeprefix('torch.')} may be too narrow; try dtype=float32."
        )


def _numpy(values: Tensor) -> np.ndarray:
    result: np.ndarray = values.double().cpu().numpy()
    return result
