"""threshold: all units whose (absolute) score is at least a threshold.

For each requested count n the threshold is the n-th best score, so that units tied at the cut are
all kept and the circuit may be larger than n: the result does not depend on the order of the units.
An explicit threshold is a lower bound on these, and the sizes upper bounds (but for ties): size 1
is the circuit of all units at or above it, and the curve is flat from that circuit's own size on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Checked, finite
from harness_circuits.selection.selectors import SELECTORS, Selector


def by_threshold(
    scores: Scores, counts: Sequence[int], ranking: Ranking, *, threshold: float | None
) -> list[Circuit]:
    """Keep units at or above a threshold.

    Args:
        scores: Scores of all units.
        counts: Sizes; the n-th best score is the threshold of size n.
        ranking: Whether scores or |score| are compared.
        threshold: Lowest threshold, in units of the metric; None for no limit.
    """
    real = scores.space.real
    values = ranking.of(scores.values)
    best_first = -np.sort(-values[real])
    lowest = -np.inf if threshold is None else threshold
    cuts = [max(lowest, best_first[n - 1]) for n in counts]
    return [Circuit(scores.space, real & (values >= cut)) for cut in cuts]


SELECTORS.register("threshold")(
    Selector(
        function=by_threshold,
        options={
            "threshold": Option(
                Checked("a finite number in units of the metric", finite),
                None,
                "lowest score kept; None for no limit",
                none=True,
            )
        },
        positions=True,
        source="Conmy et al. 2023, arXiv 2304.14997 (thresholds); auto-circuit",
    )
)
