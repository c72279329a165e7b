"""top-n: the n units with the highest (absolute) score; ties by index."""

from __future__ import annotations

from collections.abc import Sequence

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.selection.selectors import SELECTORS, Selector, circuit_of, ranked


def top_n(scores: Scores, counts: Sequence[int], ranking: Ranking) -> list[Circuit]:
    """Keep the best n units, for each n."""
    order = ranked(scores, ranking)
    return [circuit_of(scores, order[:n]) for n in counts]


SELECTORS.register("top-n")(Selector(function=top_n, positions=True, source="EAP-IG, MIB"))
