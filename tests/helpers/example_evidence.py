"""Evidence of all kinds about made-up circuits, as a results file has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from helpers.result_files import SIZES, random_scores

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import Scores
from harness_circuits.evaluation.grid import Cell
from harness_circuits.evaluation.result import ExampleValues
from harness_circuits.evidence import EVIDENCE, Subject, gather
from harness_circuits.selection import select

N = 24  # examples


def example_evidence(name: str = "plain", kinds: Sequence[str] | None = None) -> dict[str, Any]:
    """Evidence of some kinds, or all.

    Args:
        name: Part of the names of templates, changes and reasons.
        kinds: Which.
    """
    generator = np.random.default_rng(0)
    scores = _with_sums(random_scores(), generator)
    empty, gap = generator.normal(-1, 0.5, N), generator.normal(4, 0.5, N)
    weight = abs(scores.values) / abs(scores.values).sum()

    def evaluate(some: Sequence[Circuit]) -> np.ndarray:
        shares = np.array([weight[one.kept].sum() for one in some])
        noise = generator.normal(0, 0.3, (len(some), N)) * (shares < 1)[:, None]
        return np.asarray(empty + shares[:, None] ** 0.5 * gap + noise)

    def again(shift: float) -> Scores:
        return replace(
            scores, values=scores.values * np.exp(generator.normal(0, shift, scores.values.shape))
        )

    def grid(some: Sequence[Circuit]) -> Iterator[Cell]:
        for ablation in ("patching", "mean"):
            yield Cell(ablation, "noising", "logit_diff", _values(empty, gap, evaluate(some)))
        yield Cell("zero", "noising", "logit_diff", None, f"{name}: not here")

    names = [f"{name}-{at % 3}" for at in range(N)]
    extras = {
        "templates": (names, names),
        "discover": lambda numbers: _circuits(again(0.4)),
        "variations": {f"ablation={name}": lambda: _circuits(again(1.0))},
        "grid": grid,
        "metric": "logit_diff",
    }
    subject = Subject(
        sizes=SIZES,
        circuits=_circuits(scores),
        full=empty + gap,
        empty=empty,
        rounding=np.full(N, 1e-9),
        evaluate=evaluate,
        draws=30,
        iters=200,
        scores=scores,
        extras=extras,
    )
    return gather(tuple(EVIDENCE) if kinds is None else kinds, subject)


def _with_sums(scores: Scores, generator: np.random.Generator) -> Scores:
    sums = scores.values[None] + generator.normal(0, 1, (16, *scores.values.shape))
    return replace(scores, samples=Samples(sums.astype(np.float32), np.full(16, 2)))


def _circuits(scores: Scores) -> Mapping[Ranking, Sequence[Circuit]]:
    counts = [scores.space.n_at(size) for size in SIZES]
    return {ranking: select(scores, counts, "top-n", ranking=ranking) for ranking in Ranking}


def _values(empty: np.ndarray, gap: np.ndarray, circuits: np.ndarray) -> ExampleValues:
    nothing, full = np.zeros(N), empty + gap
    columns = circuits, circuits, nothing, [], [], nothing, np.full(N, 1e-9)
    return ExampleValues(tuple(range(N)), full, empty, *columns)
