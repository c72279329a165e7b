"""partial-necessity: does removing the circuit hurt more than removing a random one (Shi et al. 2024)?

Damage is the distance |1 - f(M less C)| of the rest to the model. The null hypothesis says that the
circuit's is larger than that of at most 90% of random circuits of its size. They are drawn from its
complement, one of the two references of the paper: circuits drawn from all units cut through the
circuit. Rejecting means *partially necessary*. Where the complement has no room for as many units, they
keep fewer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness_circuits.evaluation.null_circuits import random_circuit_outside
from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind
from harness_circuits.evidence.shi_tests import ALPHA, QUANTILE, SOURCE
from harness_circuits.evidence.subject import Subject
from harness_circuits.evidence.sufficiency import against_random, lines, tables


def partial_necessity(subject: Subject) -> dict[str, Any]:
    """The test for every circuit."""
    found = []
    for point in subject.points:
        seeds = range(subject.seed, subject.seed + subject.draws)
        null = [random_circuit_outside(point.circuit, seed) for seed in seeds]
        rest = [circuit.complement() for circuit in (point.circuit, *null)]
        damage = abs(1 - subject.faithfulness(subject.values(rest)))
        kept = float(np.mean([circuit.n_kept for circuit in null]))
        found.append(against_random(point, damage[0], damage[1:]) | {"random_kept": kept})
    return {"quantile": QUANTILE, "alpha": ALPHA, "circuits": found}


EVIDENCE.register("partial-necessity")(
    Kind(
        function=partial_necessity,
        lines=lambda found: lines("partial necessity", "hurts more than", found),
        tables=lambda found: tables("its removal hurts more than that", found),
        cost=lambda plan: Cost(circuits=(plan.draws + 1) * plan.points),
        intervals="random circuits (Wilson), with the pairs as they are",
        description="test: its removal hurts more than that of 90% of random circuits outside it",
        source=SOURCE,
    )
)
