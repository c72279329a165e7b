"""Overlap of circuits, corrected for what random ones of their sizes would share."""

from __future__ import annotations

from harness_circuits.circuits.circuit import Circuit


def chance_jaccard(a: int, b: int, n: int) -> float:
    """Jaccard index of two random sets of a and b of n units, at their expected intersection.

    For a = b = k this is k / (2 n - k).

    >>> chance_jaccard(10, 10, 100) == 10 / 190
    True
    """
    shared = a * b / n
    either = a + b - shared
    return shared / either if either else 1.0


def corrected_jaccard(one: Circuit, other: Circuit) -> float:
    """(J - J0) / (1 - J0) for the Jaccard index J of two circuits and J0 of random ones.

    1 for the same circuit, near 0 for circuits that share no more than random ones of their sizes,
    negative for less.

    Raises:
        MismatchError: They belong to different graphs or levels.
    """
    chance = chance_jaccard(one.n_kept, other.n_kept, one.space.n_units)
    found = one.jaccard(other)
    return (found - chance) / (1 - chance) if chance < 1 else 1.0
