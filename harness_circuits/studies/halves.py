"""Circuits of random halves of the training pairs, from score sums that were kept: no passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.selection import SELECTORS
from harness_circuits.settings import Settings
from harness_circuits.statistics.half_samples import half_weights

ByRanking = Mapping[Ranking, Sequence[Circuit]]


def halves_of_both(
    one: Scores | None,
    other: Scores | None,
    select: Callable[[Scores], ByRanking],
    settings: Settings,
) -> tuple[int, Iterator[tuple[ByRanking, ByRanking]]]:
    """Circuits of the same random halves of the training pairs by two scores, half by half.

    Args:
        one: Scores; None where there are none.
        other: Scores of the same pairs in the same groups.
        select: From scores to circuits.
        settings: What was selected by, and the seed of the halves.

    Returns:
        The number of groups of pairs, and the circuits. There are none where either keeps no score sums
        of four groups, the groups differ, or the selector runs circuits or resamples itself.
    """
    selector = SELECTORS.get(settings.selection)
    sums = [None if scores is None else scores.samples for scores in (one, other)]
    a, b = sums
    if a is None or b is None or not np.array_equal(a.sizes, b.sizes):
        return 0, iter(())
    if selector.trials is not None or selector.samples:
        return 0, iter(())
    assert one is not None and other is not None
    rows = half_weights(len(a), settings.seed)
    circuits = ((select(half_of(one, row)), select(half_of(other, row))) for row in rows)
    return len(a), circuits


def half_of(scores: Scores, weights: np.ndarray) -> Scores:
    """The scores of some groups of the pairs alone.

    Args:
        scores: Scores with samples.
        weights: One of a group that is taken, zero of one that is not.
    """
    assert scores.samples is not None
    values = scores.samples.resampled(weights[None])[0].reshape(scores.space.shape)
    return replace(scores, values=values, samples=None, standard_errors=None)
