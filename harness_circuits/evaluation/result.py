"""What an experiment found: values per example, curves, and the facts of the run. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.evaluation.curve import CurveValues
from harness_circuits.evaluation.summary import ExampleRecord, Header


@dataclass(frozen=True)
class ExampleValues:
    """Values per example, in the order of the pairs' indices.

    Attributes:
        indices: Number of each pair in its split.
        full: Metric of the full model.
        empty: Metric of the empty circuit.
        circuits: Metric of each circuit.
        accuracy: 1 where a circuit's most probable choice is correct.
        full_accuracy: The same for the full model.
        log_probs: Per example, the full model's log-probability of every choice.
        greedy: Per example, whether each choice is the full model's greedy continuation.
        empty_accuracy: 1 where the empty circuit's most probable choice is correct.
        rounding: Floating-point error of full - empty.
    """

    indices: tuple[int, ...]
    full: Float[np.ndarray, "example"]
    empty: Float[np.ndarray, "example"]
    circuits: Float[np.ndarray, "circuit example"]
    accuracy: Float[np.ndarray, "circuit example"]
    full_accuracy: Float[np.ndarray, "example"]
    log_probs: list[list[float]]
    greedy: list[list[bool]]
    empty_accuracy: Float[np.ndarray, "example"]
    rounding: Float[np.ndarray, "example"]


@dataclass(frozen=True)
class Everywhere:
    """Circuits without spans beside those of one ranking.

    Attributes:
        circuits: For each size, the one with as many contributions.
        contributions: Kept edges times tokens of the circuits over spans, per prompt.
        own: The same of these circuits.
    """

    circuits: tuple[Circuit, ...]
    contributions: tuple[float, ...]
    own: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """A faithfulness curve of one ranking.

    Attributes:
        ranking: What the circuits were ranked by.
        values: Metric values per example.
        circuits: The circuit of each size.
        accuracy: Accuracy per size and example.
        null: Metric values of random circuits that keep as many units, per size and circuit.
        null_kept: Units that each of them keeps.
        stability: Per size, the mean Jaccard index of resampled top-n units; None if not asked for.
        everywhere: Of circuits over spans, those without spans and as many contributions.
        plain: Metric values of these.
    """

    ranking: Ranking
    values: CurveValues
    circuits: tuple[Circuit, ...]
    accuracy: Float[np.ndarray, "size example"]
    null: Float[np.ndarray, "size null example"]
    null_kept: Int[np.ndarray, "size null"]
    stability: list[float] | None = None
    everywhere: Everywhere | None = None
    plain: Float[np.ndarray, "size example"] | None = None


@dataclass(frozen=True)
class Result:
    """What one experiment found.

    Attributes:
        task: What messages and results call the pairs.
        metric: Name of the metric that circuits were evaluated by.
        scores: Scores of all units; None where a given circuit was evaluated.
        curves: One per ranking, at least one, over the same sizes.
        examples: Values per example of the evaluation pairs.
        facts: Numbers of pairs, seconds, peak memory.
    """

    task: str
    metric: str
    scores: Scores | None
    curves: tuple[Curve, ...]
    examples: ExampleValues
    facts: Mapping[str, Any]


def example_records(
    result: Result,
    numbers: Sequence[int],
    *,
    iters: int,
    seed: int,
    agreement: Mapping[str, float] | None = None,
) -> dict[int, ExampleRecord]:
    """Records of all evaluation pairs, by the number of their document.

    Args:
        result: What was found.
        numbers: The document of each pair.
        iters: Bootstrap resamples behind the intervals that will be made of the records.
        seed: Their seed.
        agreement: How well the scores find a circuit that is known, if one is.
    """
    curves, values = result.curves, result.examples
    header = _header(result, iters, seed, agreement or {})
    return {
        number: ExampleRecord(
            header,
            number,
            float(values.full[at]),
            float(values.empty[at]),
            {c.ranking: tuple(c.values.circuits[:, at].tolist()) for c in curves},
            {c.ranking: tuple(c.accuracy[:, at].tolist()) for c in curves},
            {c.ranking: c.null[:, :, at] for c in curves if c.null.size},
            {c.ranking: tuple(c.plain[:, at].tolist()) for c in curves if c.plain is not None},
        )
        for at, number in enumerate(numbers)
    }


def _header(result: Result, iters: int, seed: int, agreement: Mapping[str, float]) -> Header:
    """What all records of a result share."""
    curves = result.curves
    return Header(
        task=result.task,
        metric=result.metric,
        sizes=curves[0].values.sizes,
        rankings=tuple(curve.ranking for curve in curves),
        kept={c.ranking: [circuit.n_kept for circuit in c.circuits] for c in curves},
        edges={c.ranking: [x.weighted_edges for x in c.circuits] for c in curves},
        iters=iters,
        seed=seed,
        agreement=agreement,
        null_kept={c.ranking: c.null_kept.tolist() for c in curves if c.null_kept.size},
        stability={c.ranking: c.stability for c in curves if c.stability is not None},
        everywhere={
            c.ranking: {
                "contributions": list(c.everywhere.contributions),
                "own": list(c.everywhere.own),
            }
            for c in curves
            if c.everywhere is not None
        },
    )
