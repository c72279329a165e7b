r"""incompleteness: does a circuit react to knock-outs as the model does (Wang et al. 2023)?

For random halves K of a circuit C, |m(C \\ K) - m(M \\ K)| / |m(M) - m(empty)|. A complete circuit
has 0: whatever of it is taken away, the rest of the model makes up for nothing that the circuit cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind, Plan
from harness_circuits.evidence.subject import Point, Subject
from harness_circuits.evidence.table import Table, by_circuit
from harness_circuits.evidence.text import interval
from harness_circuits.statistics.ratio import sign_choices

SUBSETS = 20
DIGITS = 3  # behind the point: of what breaks as the model does there is little
_DRAWS = 1  # this kind's random numbers


def incompleteness(subject: Subject) -> dict[str, Any]:
    """Mean over random halves with its interval, and the largest, of every circuit."""
    return {
        "subsets": _subsets(subject.draws),
        "circuits": [_one(subject, p) for p in subject.points],
    }


def _subsets(draws: int) -> int:
    return min(SUBSETS, draws)


def _one(subject: Subject, point: Point) -> dict[str, Any]:
    generator = subject.generator(_DRAWS, point)
    halves = [random_half(point.circuit, generator) for _ in range(_subsets(subject.draws))]
    inside = [point.circuit & half.complement() for half in halves]
    outside = [half.complement() for half in halves]
    values = subject.values([*inside, *outside])  # all at once: what pairs need for all is run once
    difference = values[len(halves) :] - values[: len(halves)]
    each = abs(difference.mean(1) / subject.gap.mean())
    weights = np.full(len(halves), 1 / len(halves))
    ends = subject.ratios(sign_choices(difference, subject.gap, weights), subject.gap)
    low, high = float(ends.low.min()), float(ends.high.max())
    return {
        "ranking": str(point.ranking),
        "size": point.size,
        "mean": float(each.mean()),
        "ci95_low": None if np.isnan(low) else min(max(low, 0.0), float(each.mean())),
        "ci95_high": None if np.isnan(high) else max(high, float(each.mean())),
        "largest": float(each.max()),
    }


def random_half(circuit: Circuit, generator: np.random.Generator) -> Circuit:
    """Half of a circuit's units, rounded down, drawn without replacement."""
    units = np.flatnonzero(circuit.kept)
    kept = np.zeros(circuit.kept.size, dtype=bool)
    kept[generator.choice(units, len(units) // 2, replace=False)] = True
    return Circuit(circuit.space, kept.reshape(circuit.kept.shape))


def _lines(found: Mapping[str, Any]) -> list[str]:
    return [
        f"incompleteness by {one['ranking']} at {one['size']:g}: "
        f"{interval(*_mean(one), DIGITS)}, at most {one['largest']:z.{DIGITS}f} "
        f"of {found['subsets']} halves"
        for one in found["circuits"]
    ]


def _tables(found: Mapping[str, Any]) -> list[Table]:
    cells = {
        f"mean of {found['subsets']} halves": lambda one: interval(*_mean(one), DIGITS),
        "largest": lambda one: f"{one['largest']:z.{DIGITS}f}",
        "when halves of it are taken away": _verdict,
    }
    return [by_circuit(found["circuits"], cells)]


def _mean(one: Mapping[str, Any]) -> tuple[float, float | None, float | None]:
    return one["mean"], one["ci95_low"], one["ci95_high"]


def _verdict(one: Mapping[str, Any]) -> str:
    if one["ci95_low"] is None:
        return "not told: there is no interval"
    if one["ci95_low"] <= 0:
        return "it is not seen to differ from the model"
    return f"it differs from the model, by {one['mean']:.1%} of the gap"


def _cost(plan: Plan) -> Cost:
    return Cost(circuits=2 * _subsets(plan.draws) * plan.points)


EVIDENCE.register("incompleteness")(
    Kind(
        function=incompleteness,
        lines=_lines,
        tables=_tables,
        cost=_cost,
        positions=True,
        intervals="evaluation pairs, with the halves as they were drawn",
        no_interval="the largest of the halves (it grows with their number)",
        description="how far circuit and model differ when random halves of the circuit are taken away",
        source="Wang et al. 2023, arXiv 2211.00593",
    )
)
