"""pnr: part of the circuit by positive score, the rest by absolute score.

Signed ranking is best for CPR, absolute ranking for CMD; the positive-negative ratio interpolates
(Nikankin et al. 2025, arXiv 2510.25786). The mixture replaces the ranking: the circuits of both
rankings are the same, and are evaluated once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Number
from harness_circuits.selection.selectors import (
    SELECTORS,
    Selector,
    circuit_of,
    ranked,
)


def pnr(scores: Scores, counts: Sequence[int], ranking: Ranking, *, share: float) -> list[Circuit]:
    """Fill each budget in two steps.

    Args:
        scores: Scores of all units.
        counts: Budgets.
        ranking: Without effect.
        share: Part of the budget, rounded down, that goes to the units with the highest positive
            scores (all of these, if there are fewer); the best others by |score| fill the rest.
    """
    by_score, by_size = ranked(scores, Ranking.SIGNED), ranked(scores, Ranking.ABSOLUTE)
    n_positive = int((scores.values[scores.space.real] > 0).sum())
    circuits = []
    for n in counts:
        first = by_score[: min(int(share * n + 1e-9), n_positive)]
        others = by_size[~np.isin(by_size, first, assume_unique=True)]
        circuits.append(circuit_of(scores, np.concatenate([first, others[: n - len(first)]])))
    return circuits


SELECTORS.register("pnr")(
    Selector(
        function=pnr,
        options={"share": Option(Number(0, 1), 0.5, "part of the budget for positive scores")},
        positions=True,
        source="Nikankin et al. 2025, arXiv 2510.25786",
    )
)
