"""repair: top-n, and then units exchanged until the circuit does the task as the model does.

From the n best units by the ranking, with faithfulness f on the training pairs:

- f below 1: the kept units of lowest score leave, and those of highest score that were not kept come in;
  once that gains nothing, kept units of negative score leave alone;
- f above 1: the kept units of lowest positive score leave, and those of lowest (negative) score come in;
  once none are left, kept units leave alone.

How many units move is found by bisection, until f is within the tolerance of 1 or the rounds are over;
of all circuits that were tried, the one with f nearest 1 is kept. No circuit is larger than asked for,
and the pairs that circuits are evaluated on play no part. The whole graph has f = 1 and stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Number, Whole
from harness_circuits.selection.selectors import (
    FIT_PAIRS,
    SELECTORS,
    Measure,
    Selector,
    circuit_of,
    ranked,
)


def repair(
    scores: Scores,
    counts: Sequence[int],
    ranking: Ranking,
    *,
    tolerance: float,
    rounds: int,
    fit_pairs: int,
    measure: Measure,
) -> list[Circuit]:
    """Exchange units of each top-n circuit until its faithfulness on training pairs is about 1.

    Args:
        scores: Scores of all units.
        counts: Sizes.
        ranking: What units are ranked by at first.
        tolerance: Stop once faithfulness is this near to 1.
        rounds: Circuits that are tried after the first, at most.
        fit_pairs: Training pairs that circuits are tried on.
        measure: Runs circuits on training pairs.
    """
    walks = [_Walk(scores, n, ranking) for n in counts]
    for _ in range(1 + rounds):
        open_walks = [walk for walk in walks if walk.is_open(tolerance)]
        if not open_walks:
            break
        found = measure([walk.circuit(walk.next) for walk in open_walks], fit_pairs)
        for walk, f in zip(open_walks, found, strict=True):
            walk.take(float(f))
    return [walk.circuit(walk.best) for walk in walks]


class _Walk:
    """Circuits of one size, by the number of units that have moved.

    Attributes:
        next: The number to try next.
        best: The one whose faithfulness was nearest 1.
    """

    def __init__(self, scores: Scores, n: int, ranking: Ranking) -> None:
        self.scores, self.values = scores, scores.values.ravel()
        order = ranked(scores, ranking)
        self.kept, self.rest = order[:n], order[n:]
        self.leaving = self.coming = order[:0]
        self.low, self.high = 0, -1  # f is on the first circuit's side of 1 at `low`
        self.next, self.best, self.distance = 0, 0, np.inf if len(self.rest) else 0.0
        self.side = 0.0

    def is_open(self, tolerance: float) -> bool:
        """Whether another circuit is worth trying."""
        return self.distance > tolerance and (self.high < 0 or self.low < self.next <= self.high)

    def take(self, f: float) -> None:
        """Note the faithfulness of the circuit that was to be tried next."""
        if abs(f - 1) < self.distance:
            self.best, self.distance = self.next, abs(f - 1)
        if self.high < 0:
            self.side = np.sign(f - 1)
            self._line_up()
            self.next = self.high = len(self.leaving)
            return
        if np.sign(f - 1) == self.side:
            self.low = self.next
        else:
            self.high = self.next
        self.next = (self.low + self.high) // 2

    def _line_up(self) -> None:
        """The units that leave and those that come in for them, in order."""
        kept, rest = self._by_score(self.kept), self._by_score(self.rest)
        if self.side < 0:
            coming, n = rest[::-1], min(len(kept), len(rest))
            gains = int((self.values[coming[:n]] > self.values[kept[:n]]).sum())
            alone = int((self.values[kept] < 0).sum())
            self.leaving, self.coming = kept[: max(gains, alone)], coming[:gains]
        else:
            self.leaving = kept[self.values[kept] > 0]
            self.coming = rest[self.values[rest] < 0][: len(self.leaving)]

    def _by_score(self, units: np.ndarray) -> np.ndarray:
        result: np.ndarray = units[np.argsort(self.values[units], kind="stable")]
        return result

    def circuit(self, moved: int) -> Circuit:
        """The circuit after some units have moved."""
        stay = np.setdiff1d(self.kept, self.leaving[:moved], assume_unique=True)
        return circuit_of(self.scores, np.concatenate([stay, self.coming[:moved]]))


SELECTORS.register("repair")(
    Selector(
        function=repair,
        options={
            "tolerance": Option(Number(0, 1), 0.02, "how near 1 faithfulness has to come"),
            "rounds": Option(Whole(1, 100), 8, "circuits tried after the first, at most"),
            "fit_pairs": FIT_PAIRS,
        },
        nested=False,
        trials=lambda options: 1 + options["rounds"],
        source="here",
    )
)
