"""bootstrap-filter: the best units among those whose sign holds when examples are resampled.

Discovery examples are drawn again with replacement, in the groups whose score sums were kept, and
scored anew: weighted sums, no model passes. A unit passes if its score is not zero and at least a
given share of the resamples gives it the same sign. Units that fail are never kept, not even at
size 1 (Nikankin et al. 2025, arXiv 2510.25786).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import SEED, Number, Whole
from harness_circuits.selection.selectors import (
    SELECTORS,
    Selector,
    circuit_of,
    ranked,
)
from harness_circuits.statistics.bootstrap import resample_weights

_BLOCK = 4_000_000  # resampled scores held at once


def bootstrap_filter(
    scores: Scores,
    counts: Sequence[int],
    ranking: Ranking,
    *,
    resamples: int,
    consistency: float,
    seed: int,
) -> list[Circuit]:
    """Keep the best n units of consistent sign, for each n; fewer where fewer are consistent.

    Args:
        scores: Scores of all units, with samples.
        counts: Sizes.
        ranking: What units are ranked by.
        resamples: Number of resamples.
        consistency: Share of the resamples that have to agree with the score's sign.
        seed: Seed of the draws.
    """
    passed = same_sign(scores, resamples, seed).ravel() >= consistency - 1e-9
    order = ranked(scores, ranking)
    order = order[passed[order] & (scores.values.ravel()[order] != 0)]
    return [circuit_of(scores, order[:n]) for n in counts]


def same_sign(scores: Scores, resamples: int, seed: int) -> Float[np.ndarray, "*units"]:
    """For every unit, the share of resamples in which its score has the sign that it has."""
    samples = scores.samples
    assert samples is not None
    weights = resample_weights(len(samples), resamples, seed)
    values = scores.values.ravel()
    share = np.zeros(values.shape)
    step = max(1, _BLOCK // resamples)
    for first in range(0, len(values), step):
        units = slice(first, first + step)
        drawn = samples.resampled(weights, units)
        agrees: Bool[np.ndarray, "draw unit"] = np.sign(drawn) == np.sign(values[units])
        share[units] = agrees.mean(0)
    return share.reshape(scores.values.shape)


SELECTORS.register("bootstrap-filter")(
    Selector(
        function=bootstrap_filter,
        options={
            "resamples": Option(Whole(1, 100_000), 100, "resamples of the training pairs"),
            "consistency": Option(Number(0, 1), 0.95, "share of resamples that keep the sign"),
            "seed": Option(SEED, 0, "seed of the resamples; the run's by default"),
        },
        samples=64,
        positions=True,
        source="Nikankin et al. 2025, arXiv 2510.25786",
    )
)
