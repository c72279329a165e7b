"""Run circuits over batches and collect metric values per example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from harness_circuits.ablation.ablations import Ablation
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import NumericalError
from harness_circuits.evaluation.result import ExampleValues
from harness_circuits.machine.progress import progress
from harness_circuits.machine.ranks import ALONE, Ranks
from harness_circuits.metrics.metrics import Metric, accuracy, answer_log_probs
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.tokenise import Batch
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuit


def evaluate_circuits(
    model: CircuitModel,
    batches: Sequence[Batch],
    circuits: Sequence[Circuit],
    metric: Metric,
    ablation: Ablation,
    ranks: Ranks = ALONE,
) -> ExampleValues:
    """Evaluate circuits, the full model and the empty circuit on the same pairs.

    Args:
        model: The model.
        batches: ExampleValues pairs.
        circuits: Circuits over the model's graph.
        metric: Task metric.
        ablation: What replaces everything outside a circuit.
        ranks: The processes that share the batches; each gets the values of all.

    Raises:
        NumericalError: A logit is not finite.
        CircuitFileError: A circuit belongs to another graph.
    """
    distinct, which = _distinct(circuits, model)
    order = [index for batch in batches for index in batch.indices]
    rank = np.argsort(order, kind="stable")
    own = ranks.share([batch.clean.ids.numel() for batch in batches])
    found: dict[int, _Part] = {}
    with progress(sum(len(batches[at]) for at in own), "evaluation", "pairs") as advance:
        for at in own:
            found[at] = _evaluate_batch(model, batches[at], distinct, metric, ablation)
            advance(len(batches[at]))
    for others in ranks.gather(found):
        found |= others
    parts = [found[at] for at in range(len(batches))]
    log_probs = [row for part in parts for row in part.log_probs]
    greedy = [row for part in parts for row in part.greedy]
    columns = zip(*(part.arrays for part in parts), strict=True)
    full, full_accuracy, values, hits = (np.concatenate(c, axis=-1)[..., rank] for c in columns)
    return ExampleValues(
        indices=tuple(order[i] for i in rank),
        full=full,
        empty=values[-1],
        circuits=values[which],
        accuracy=hits[which],
        full_accuracy=full_accuracy,
        log_probs=[log_probs[i] for i in rank],
        greedy=[greedy[i] for i in rank],
    )


@dataclass(frozen=True)
class _Part:
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    log_probs: list[list[float]]
    greedy: list[list[bool]]


@torch.no_grad()
def _evaluate_batch(
    model: CircuitModel,
    batch: Batch,
    distinct: Sequence[Circuit],
    metric: Metric,
    ablation: Ablation,
) -> _Part:
    clean = model.forward(batch.clean)
    stream = AblatedStream(model, batch.clean, ablation.replacement(model, batch))
    values, hits = [], []
    for circuit in distinct:
        full = circuit.n_kept == circuit.space.n_units
        logits = clean if full else run_circuit(model, circuit, batch.clean, stream)
        _check_finite(logits, model, batch)
        values.append(_numpy(metric(logits, batch, clean)))
        hits.append(_numpy(accuracy(logits, batch)))
    scores = answer_log_probs(clean.to(model.sum_dtype), batch.answers)
    best = _greedy(clean, batch)
    n_choices = batch.answers.real[:, :, 0].sum(1).tolist()
    return _Part(
        (
            _numpy(metric(clean, batch, clean)),
            _numpy(accuracy(clean, batch)),
            np.array(values),
            np.array(hits),
        ),
        [row[:n] for row, n in zip(scores.tolist(), n_choices, strict=True)],
        [row[:n] for row, n in zip(best.tolist(), n_choices, strict=True)],
    )


def _distinct(
    circuits: Sequence[Circuit], model: CircuitModel
) -> tuple[list[Circuit], Int[np.ndarray, "circuit"]]:
    """Circuits without repetition, the empty one last, and where each given one is among them."""
    space = circuits[0].space if circuits else ScoreSpace(model.graph)
    found: dict[tuple[str, bytes], int] = {}
    distinct: list[Circuit] = []
    for circuit in circuits:
        key = (circuit.space.level, np.packbits(circuit.kept).tobytes())
        if key not in found:
            found[key] = len(distinct)
            distinct.append(circuit)
    keys = [(circuit.space.level, np.packbits(circuit.kept).tobytes()) for circuit in circuits]
    which = np.array([found[key] for key in keys], dtype=int)
    return [*distinct, Circuit.empty(space)], which


def _greedy(
    logits: Float[Tensor, "batch read vocab"], batch: Batch
) -> Bool[Tensor, "batch choice"]:
    """Whether each answer's tokens are the likeliest at every step."""
    reads, tokens = batch.answers.reads.to(logits.device), batch.answers.tokens.to(logits.device)
    likeliest = logits.argmax(-1).gather(1, reads.flatten(1)).view_as(reads)
    return ((likeliest == tokens) | ~batch.answers.real.to(logits.device)).all(-1)


def _check_finite(logits: Tensor, model: CircuitModel, batch: Batch) -> None:
    if not torch.isfinite(logits).all():
        raise NumericalError(
            f"The logits of {model.name} are not finite on pair {batch.indices[0]} or one near it. "
            f"dtype={str(model.dtype).removeprefix('torch.')} may be too narrow; try dtype=float32."
        )


def _numpy(values: Tensor) -> np.ndarray:
    result: np.ndarray = values.double().cpu().numpy()
    return result
