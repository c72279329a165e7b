"""How much of a circuit would be found again on other discovery examples.

Discovery examples are drawn again with replacement, in the groups whose score sums were kept
(`Scores.samples`), and scored anew: weighted sums, no model passes. The stability at a size is the
mean Jaccard index, over all pairs of resamples, of their top-n units. Two random sets of a fraction
f of all units have an expected index near f / (2 - f).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import OptionError
from harness_circuits.statistics.bootstrap import resample_weights

_BLOCK = 1 << 16  # bytes of packed units per resample that are compared at once


def check_samples(scores: Scores) -> None:
    """Refuse scores that cannot be resampled.

    Raises:
        OptionError: They hold no score sums of at least two groups.
    """
    kept = 0 if scores.samples is None else len(scores.samples)
    if kept < 2:
        raise OptionError(
            f"stability_resamples draws groups of discovery examples; these scores hold {kept} "
            "groups. Discover again with keep_samples=64 and at least 2 pairs."
        )


def check_resampling(scores: Scores | None) -> None:
    """Refuse to measure the stability of what was given without the data behind it.

    Args:
        scores: The given scores; None where circuits were given.

    Raises:
        OptionError: There are no scores, or they are without samples.
    """
    if scores is None:
        raise OptionError(
            "stability_resamples needs scores to resample, and circuit= names a circuit alone. Give "
            "the scores that it was selected from."
        )
    check_samples(scores)


def stabilities(
    scores: Scores, counts: Sequence[int], rankings: Sequence[Ranking], resamples: int, seed: int
) -> dict[Ranking, list[float]]:
    """`stability` by ranking."""
    return {
        ranking: stability(scores, counts, resamples, seed, ranking=ranking) for ranking in rankings
    }


def stability(
    scores: Scores, counts: Sequence[int], resamples: int, seed: int, *, ranking: Ranking
) -> list[float]:
    """Mean pairwise Jaccard index of the top-n units of resampled scores, for each n.

    Args:
        scores: Scores with samples.
        counts: Sizes, as numbers of units, before pruning.
        resamples: Number of resamples, at least 2.
        seed: Seed of the draws.
        ranking: What units are ranked by.

    Raises:
        OptionError: The scores hold no samples.
    """
    check_samples(scores)
    assert scores.samples is not None
    weights = resample_weights(len(scores.samples), resamples, seed)
    return stability_of(scores, counts, weights, ranking)


def stability_of(
    scores: Scores,
    counts: Sequence[int],
    weights: Float[np.ndarray, "draw sample"],
    ranking: Ranking,
) -> list[float]:
    """`stability` for draws that are given.

    Args:
        scores: Scores with samples.
        counts: Sizes, as numbers of units, before pruning.
        weights: How often each draw has each group, up to a factor per draw.
        ranking: What units are ranked by.
    """
    assert scores.samples is not None
    n_units = scores.values.size
    kept = np.zeros((len(counts), len(weights), -(-n_units // 8)), dtype=np.uint8)
    for draw in range(len(weights)):
        values = scores.samples.resampled(weights[draw : draw + 1])[0]
        order = scores.space.ranked(ranking.of(values))
        for at, n in enumerate(counts):
            units = np.zeros(n_units, dtype=bool)
            units[order[:n]] = True
            kept[at, draw] = np.packbits(units)
    return [mean_jaccard(row) for row in kept]


def mean_jaccard(sets: UInt8[np.ndarray, "set packed"]) -> float:
    """Mean Jaccard index over all pairs of sets, given as packed bits; 1 for two empty sets."""
    n = len(sets)
    common: Float[np.ndarray, "set set"] = np.zeros((n, n))
    for first in range(0, sets.shape[1], _BLOCK):
        block = np.unpackbits(sets[:, first : first + _BLOCK], axis=1).astype(np.float32)
        common += block @ block.T
    sizes = common.diagonal()
    either = sizes[:, None] + sizes[None, :] - common
    index = np.divide(common, either, out=np.ones_like(common), where=either > 0)
    return float(index[np.triu_indices(n, 1)].mean())
