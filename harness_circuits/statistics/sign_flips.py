"""Which of many means are not 0? Sign flips, and the share of false findings among those called so.

If the effects of a unit are symmetric about 0, flipping the sign of any group of examples changes
nothing: p is the share of flips with a mean at least as far from 0 (Fisher 1935), one added to both
counts (Phipson and Smyth 2010). Flips go on for units that few flips have reached (Besag and Clifford
1991), so that small p-values have digits. The false discovery rate is controlled under any dependence
between units (Benjamini and Yekutieli 2001): they share the examples and the model.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

ROUNDS = (1000, 9000, 90_000)  # flips of each round
ENOUGH = 10  # flips at least as far that settle a unit
MOST_NUMBERS = 2**24  # flipped means held at a time
SLACK = 1e-6  # relative; sums in single precision


def sign_flip_p(
    sums: Float[np.ndarray, "group unit"], seed: int, rounds: tuple[int, ...] = ROUNDS
) -> Float[np.ndarray, "unit"]:
    """Two-sided p-values of means, by flips of the signs of groups of examples.

    Args:
        sums: Sums of the effects of each group's examples.
        seed: Seed of the flips.
        rounds: Flips of each round; all 2^groups, if there are no more than those of all rounds.
    """
    n_groups, n_units = sums.shape
    if 2**n_groups <= sum(rounds):
        bits = np.arange(2**n_groups)[:, None] >> np.arange(n_groups) & 1
        return _reached(sums, 1.0 - 2.0 * bits) / len(bits)
    generator = np.random.default_rng(seed)
    reached, flips = np.zeros(n_units), np.zeros(n_units)
    for n in rounds:
        open_ = np.flatnonzero(reached < ENOUGH)
        for first in range(0, n, 1000):
            signs = generator.choice((-1.0, 1.0), (min(1000, n - first), n_groups))
            reached[open_] += _reached(sums[:, open_], signs)
        flips[open_] += n
    p: np.ndarray = (1 + reached) / (1 + flips)
    return p


def _reached(
    sums: Float[np.ndarray, "group unit"], signs: Float[np.ndarray, "flip group"]
) -> Int[np.ndarray, "unit"]:
    """How many flips are at least as far from 0 as the sums as they are."""
    found = np.zeros(sums.shape[1], dtype=int)
    step = max(1, MOST_NUMBERS // len(signs))
    signs = signs.astype(np.float32)
    for first in range(0, sums.shape[1], step):
        some = sums[:, first : first + step].astype(np.float32)
        far = abs(some.sum(0, dtype=np.float64)) * (1 - SLACK)
        found[first : first + step] = (abs(signs @ some) >= far).sum(0)
    return found


def benjamini_yekutieli(p: Float[np.ndarray, "unit"]) -> Float[np.ndarray, "unit"]:
    """P-values adjusted so that calling those up to q significant makes a share q of false findings.

    >>> benjamini_yekutieli(np.array([0.001, 0.5])).round(4).tolist()
    [0.003, 0.75]
    """
    n = len(p)
    order = np.argsort(p, kind="stable")
    ranks = np.arange(1, n + 1)
    steps = p[order] * n * (1 / ranks).sum() / ranks
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(steps[::-1])[::-1])
    return adjusted
