"""Where a run's circuits come from: scores to select from at any size, or circuits as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.selection.selectors import Measure, select


@dataclass(frozen=True)
class Given:
    """What `circuit=` named, or what was discovered: one source of circuits at sizes.

    Attributes:
        space: The units that its circuits are made of.
        scores: The scores that circuits are selected from; None where circuits were given.
        fixed: The given circuits by size, ascending; empty where scores were given.
        ranking: What the given circuits were selected by; scores know both rankings.
        note: What has to be said of them, here and in the results.
        measure: Runs circuits on training pairs, for selectors that try some.
        further: Given circuits of the other ranking, of the same sizes, where there are such.
        provenance: Where the scores come from; of circuits nothing is known.
    """

    space: ScoreSpace
    scores: Scores | None = None
    fixed: Mapping[float, Circuit] = field(default_factory=dict)
    ranking: Ranking = Ranking.ABSOLUTE
    provenance: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    further: Mapping[Ranking, Mapping[float, Circuit]] = field(default_factory=dict)
    measure: Measure | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, found: Scores | Circuit, measure: Measure | None = None) -> Given:
        """The content of one file: scores, or a circuit, whose size is its share of all units."""
        if isinstance(found, Circuit):
            return cls.of_circuits({found.n_kept / found.space.n_units: found})
        return cls(found.space, found, provenance=found.provenance, measure=measure)

    @classmethod
    def of_circuits(
        cls, circuits: Mapping[float, Circuit], ranking: Ranking = Ranking.ABSOLUTE
    ) -> Given:
        """Circuits by size, ascending, at least one; of one level."""
        return cls(next(iter(circuits.values())).space, None, circuits, ranking)

    @classmethod
    def of_curves(cls, curves: Mapping[Ranking, Mapping[float, Circuit]]) -> Given:
        """Circuits of the same sizes for one ranking or both; of one level."""
        ranking, *others = curves
        first = cls.of_circuits(curves[ranking], ranking)
        return replace(first, further={other: curves[other] for other in others})

    @property
    def given_circuits(self) -> tuple[Circuit, ...]:
        """All circuits that were given as such."""
        curves = (self.fixed, *self.further.values())
        return tuple(circuit for curve in curves for circuit in curve.values())

    @property
    def rankings(self) -> tuple[Ranking, ...]:
        """Rankings of the circuits that were given as such."""
        return (self.ranking, *self.further)

    @property
    def kind(self) -> str:
        """`scores` or `circuit`."""
        return "circuit" if self.scores is None else "scores"

    @property
    def content(self) -> bytes:
        """What stands for the file where there is none: of what was discovered in this run."""
        if self.scores is not None:
            return self.scores.values.tobytes()
        return b"".join(circuit.kept.tobytes() for circuit in self.given_circuits)

    def sizes(self, wanted: tuple[float, ...]) -> tuple[float, ...]:
        """The sizes that there will be circuits of, where some are wanted: given ones have theirs."""
        return wanted if self.scores is not None else tuple(self.fixed)

    def circuits(
        self,
        sizes: Sequence[float],
        rankings: Sequence[Ranking],
        selection: str,
        *,
        published: bool = False,
        **options: Any,
    ) -> dict[Ranking, list[Circuit]]:
        """One pruned circuit per ranking and size; given ones as they are.

        Args:
            sizes: Fractions of all units, ascending.
            rankings: What to rank units by.
            selection: A selector's name.
            published: Count units as MIB's code does (see `ScoreSpace.n_at`).
            **options: The selector's own options.

        Raises:
            OptionError: The selector cannot work with the scores.
        """
        if self.scores is None:
            found = {self.ranking: self.fixed, **self.further}
            wanted = [ranking for ranking in found if ranking in rankings or not self.further]
            return {ranking: list(found[ranking].values()) for ranking in wanted}
        counts = [self.space.n_at(size, published=published) for size in sizes]
        how = {"measure": self.measure, **options}
        return {
            ranking: select(self.scores, counts, selection, ranking=ranking, **how)
            for ranking in rankings
        }
