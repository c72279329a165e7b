"""pnr-fit: `pnr` whose share is fitted per size, so that the circuit does the task as the model does.

Circuits of positive units alone exaggerate what the model does, those of the largest absolute scores
often fall short of it (Nikankin et al. 2025, arXiv 2510.25786). Between the two lies a share at which
faithfulness on the training pairs is nearest 1, another one at every size: it is looked for on an even
grid, and then half-way to the best share's neighbours, some times over. What CMD asks for; the pairs that
circuits are evaluated on play no part. As in `pnr`, the ranking has no effect.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Whole
from harness_circuits.selection.pnr import pnr
from harness_circuits.selection.selectors import FIT_PAIRS, SELECTORS, Measure, Selector


def pnr_fit(
    scores: Scores,
    counts: Sequence[int],
    ranking: Ranking,
    *,
    shares: int,
    refinements: int,
    fit_pairs: int,
    measure: Measure,
) -> list[Circuit]:
    """Fill each budget by the share at which faithfulness on training pairs is nearest 1.

    Args:
        scores: Scores of all units.
        counts: Budgets.
        ranking: Without effect.
        shares: Shares on the first grid, from 0 to 1.
        refinements: How often the grid is halved around the best share.
        fit_pairs: Training pairs that circuits are tried on.
        measure: Runs circuits on training pairs.
    """
    found = [dict[float, float]() for _ in counts]  # per budget, faithfulness by share
    wanted = [np.linspace(0, 1, shares).tolist() for _ in counts]
    for _ in range(1 + refinements):
        trials = [(at, share) for at, some in enumerate(wanted) for share in some]
        circuits = [pnr(scores, [counts[at]], ranking, share=share)[0] for at, share in trials]
        for (at, share), f in zip(trials, measure(circuits, fit_pairs), strict=True):
            found[at][share] = float(f)
        wanted = [_beside(known) for known in found]
    best = [_nearest(known) for known in found]
    return [
        pnr(scores, [n], ranking, share=share)[0] for n, share in zip(counts, best, strict=True)
    ]


def _nearest(known: dict[float, float]) -> float:
    """The share whose faithfulness is nearest 1; the smallest of several."""
    return min(sorted(known), key=lambda share: abs(known[share] - 1))


def _beside(known: dict[float, float]) -> list[float]:
    """Half-way from the best share to its neighbours."""
    grid, best = sorted(known), _nearest(known)
    at = grid.index(best)
    return [(best + other) / 2 for other in grid[max(at - 1, 0) : at + 2] if other != best]


SELECTORS.register("pnr-fit")(
    Selector(
        function=pnr_fit,
        options={
            "shares": Option(Whole(2, 101), 5, "shares on the first grid, from 0 to 1"),
            "refinements": Option(Whole(0, 20), 2, "how often it is halved around the best"),
            "fit_pairs": FIT_PAIRS,
        },
        nested=False,
        trials=lambda options: options["shares"] + 2 * options["refinements"],
        source="Nikankin et al. 2025, arXiv 2510.25786 (the ratio); fitted here",
    )
)
