"""independence: does what is left without the circuit still tell what the model does (Shi et al. 2024)?

The null hypothesis says that the score of the complement, m(M less C), is independent of the model's,
over examples; HSIC with permutations. Rejecting means that the complement *still carries* something of
the task. (The authors' code has one bandwidth for both variables, from the distances between them, and
p-values that can be 0.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind
from harness_circuits.evidence.shi_tests import ALPHA, SOURCE, result, verdict_lines, verdict_tables
from harness_circuits.evidence.subject import Subject
from harness_circuits.evidence.table import Table
from harness_circuits.evidence.text import named_interval
from harness_circuits.statistics.hsic import PERMUTATIONS, hsic_ends, hsic_test


def independence(subject: Subject) -> dict[str, Any]:
    """The test for every circuit."""
    points = subject.points
    without = subject.values([point.circuit.complement() for point in points])
    found = []
    for point, values in zip(points, without, strict=True):
        statistic, p = hsic_test(values, subject.full, PERMUTATIONS, subject.seed)
        low, high = hsic_ends(values, subject.full)
        facts = {"hsic": statistic, "hsic_ci95_low": low, "hsic_ci95_high": high}
        found.append(result(point, p, p <= ALPHA, pairs=len(values), **facts))
    return {"permutations": PERMUTATIONS, "alpha": ALPHA, "circuits": found}


def _lines(found: Mapping[str, Any]) -> list[str]:
    return verdict_lines("independence", found, _verdict)


def _tables(found: Mapping[str, Any]) -> list[Table]:
    return verdict_tables(found, {"HSIC": lambda one: named_interval(one, "hsic", 4)}, _verdict)


def _verdict(one: Mapping[str, Any]) -> str:
    seen = "depends" if one["rejected"] else "is not seen to depend"
    return f"what is left {seen} on the model"


EVIDENCE.register("independence")(
    Kind(
        function=independence,
        lines=_lines,
        tables=_tables,
        cost=lambda plan: Cost(circuits=plan.points),
        positions=True,
        intervals="evaluation pairs (jackknife)",
        description="test: scores without the circuit are independent of the model's",
        source=SOURCE,
    )
)
