"""sufficiency: is the circuit nearer to the model than random circuits of its size (Shi et al. 2024)?

The null hypothesis says that it beats at most 90% of them in |1 - f|; the count of those beaten is
binomial, and of ties half are. Rejecting means *sufficient*: better than most random circuits. Random
circuits have no dead ends (`evaluation/null_circuits.py`), and keep as many units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from harness_circuits.evaluation.null_circuits import random_circuits
from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind
from harness_circuits.evidence.shi_tests import (
    ALPHA,
    QUANTILE,
    SOURCE,
    result,
    verdict_lines,
    verdict_tables,
)
from harness_circuits.evidence.subject import Point, Subject
from harness_circuits.evidence.table import Table
from harness_circuits.evidence.text import share
from harness_circuits.statistics.binomial import at_least, wilson


def sufficiency(subject: Subject) -> dict[str, Any]:
    """The test for every circuit."""
    found = []
    for point in subject.points:
        null = random_circuits([point.circuit], subject.draws, subject.seed)
        f = subject.faithfulness(subject.values([point.circuit, *null]))
        found.append(against_random(point, -abs(1 - f[0]), -abs(1 - f[1:])))
    return {"quantile": QUANTILE, "alpha": ALPHA, "circuits": found}


def against_random(point: Point, own: float, random: Float[np.ndarray, "random"]) -> dict[str, Any]:
    """Does a circuit beat more than `QUANTILE` of random ones?

    Args:
        point: The circuit.
        own: Its value, higher is better.
        random: Those of the random circuits.
    """
    tie = np.isclose(random, own, rtol=0, atol=1e-9)
    count, n = float(((random < own) & ~tie).sum() + tie.sum() / 2), len(random)
    p = at_least(count, n, QUANTILE)
    low, high = wilson(count / n, n)
    facts = {"share_beaten": count / n, "ci95_low": low, "ci95_high": high}
    return result(point, p, p <= ALPHA, random_circuits=n, **facts)


def lines(name: str, beats: str, found: Mapping[str, Any]) -> list[str]:
    """A line per circuit: how many random circuits it beats."""

    def text(one: Mapping[str, Any]) -> str:
        beaten = share(one, "share_beaten")
        return f"{beats} {beaten} of {one['random_circuits']} random ones, {_verdict(one)}"

    return verdict_lines(name, found, text)


def tables(name: str, found: Mapping[str, Any]) -> list[Table]:
    """A row per circuit: how many random circuits it beats."""
    cells = {
        "random circuits": lambda one: f"{one['random_circuits']:,}",
        f"{name}, of these": lambda one: share(one, "share_beaten"),
    }
    return verdict_tables(found, cells, _verdict)


def _verdict(one: Mapping[str, Any]) -> str:
    return "passed" if one["rejected"] else "not passed"


EVIDENCE.register("sufficiency")(
    Kind(
        function=sufficiency,
        lines=lambda found: lines("sufficiency", "nearer than", found),
        tables=lambda found: tables("nearer to the model than", found),
        cost=lambda plan: Cost(circuits=plan.draws * plan.points),
        positions=True,
        intervals="random circuits (Wilson), with the pairs as they are",
        description="test: nearer to the model than 90% of random circuits of its size",
        source=SOURCE,
    )
)
