"""equivalence: is the circuit's score as often above the model's as below it (Shi et al. 2024)?

Per example, D = m(C) - m(M). The null hypothesis says |P(D > 0) - 1/2| < epsilon; equal values, as far
as rounding can tell, count half. With n examples and a count k the statistic is |k/n - 1/2|, and p the
larger of the probabilities of one at least as large where P(D > 0) is 1/2 - epsilon or 1/2 + epsilon.
Rejecting means *not equivalent*. (The authors' code puts the mean difference of the scores in place of
the share.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind
from harness_circuits.evidence.shi_tests import ALPHA, SOURCE, result, verdict_lines, verdict_tables
from harness_circuits.evidence.subject import Subject
from harness_circuits.evidence.table import Table
from harness_circuits.evidence.text import share
from harness_circuits.statistics.binomial import at_least, at_most, wilson

EPSILON = 0.1
ROUNDING_ERRORS = 3  # differences of fewer are ties


def equivalence(subject: Subject) -> dict[str, Any]:
    """The test for every circuit."""
    found = []
    for point in subject.points:
        (values,) = subject.values([point.circuit])
        difference = values - subject.full
        tie = abs(difference) <= ROUNDING_ERRORS * subject.rounding
        count = float(((difference > 0) & ~tie).sum() + tie.sum() / 2)
        n = len(difference)
        p = equivalence_p(count, n)
        low, high = wilson(count / n, n)
        facts = {
            "share_above": count / n,
            "ci95_low": low,
            "ci95_high": high,
            "ties": int(tie.sum()),
        }
        found.append(result(point, p, p <= ALPHA, pairs=n, **facts))
    return {"epsilon": EPSILON, "alpha": ALPHA, "circuits": found}


def equivalence_p(count: float, n: int, epsilon: float = EPSILON) -> float:
    """P-value of a count of examples above, at the boundary of the null hypothesis.

    By symmetry both boundaries give the same probability.

    >>> equivalence_p(50, 100), equivalence_p(100, 100) < 1e-6
    (1.0, True)
    """
    away = abs(count - n / 2)
    share = 0.5 + epsilon
    return min(1.0, at_least(n / 2 + away, n, share) + at_most(n / 2 - away, n, share))


def _lines(found: Mapping[str, Any]) -> list[str]:
    def text(one: Mapping[str, Any]) -> str:
        return f"above the model in {share(one, 'share_above')} of the pairs, {_verdict(one)}"

    return verdict_lines("equivalence", found, text)


def _tables(found: Mapping[str, Any]) -> list[Table]:
    cells = {"above the model, of pairs": lambda one: share(one, "share_above")}
    return verdict_tables(found, cells, _verdict)


def _verdict(one: Mapping[str, Any]) -> str:
    return "not equivalent" if one["rejected"] else "equivalence not rejected"


EVIDENCE.register("equivalence")(
    Kind(
        function=equivalence,
        lines=_lines,
        tables=_tables,
        cost=lambda plan: Cost(),
        positions=True,
        intervals="evaluation pairs (Wilson)",
        description="test: the circuit scores above and below the model equally often",
        source=SOURCE,
    )
)
