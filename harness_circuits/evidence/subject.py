"""What evidence is about: the circuits of one experiment, and how values of others are had."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.circuits.sizes import size_name
from harness_circuits.errors import OptionError
from harness_circuits.statistics.ratio import RatioIntervals, ratio_intervals

Values = Float[np.ndarray, "circuit example"]


@dataclass(frozen=True)
class Point:
    """One circuit of a curve.

    Attributes:
        ranking: What it was ranked by.
        size: The size that was asked for.
        circuit: The circuit.
    """

    ranking: Ranking
    size: float
    circuit: Circuit

    @property
    def name(self) -> str:
        """As people read it: `|score| 0.05`."""
        return f"{self.ranking.symbol} {size_name(self.size)}"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The circuits of one experiment and its evaluation pairs.

    Attributes:
        sizes: Requested sizes, ascending.
        circuits: Per ranking, the circuit of each size.
        full: Metric of the full model per example.
        empty: Metric of the empty circuit per example.
        rounding: Floating-point error of full - empty per example.
        evaluate: Runs circuits on the evaluation pairs: their metric [circuit, example].
        draws: Random circuits, subsets or units that a kind tries.
        iters: Resamples behind intervals.
        seed: Seed of everything that is drawn.
        scores: The scores that circuits were selected from; None where circuits were given.
        extras: What some kinds need beside this, by name; a kind says in `Kind.extras` what.
    """

    sizes: tuple[float, ...]
    circuits: Mapping[Ranking, Sequence[Circuit]]
    full: Float[np.ndarray, "example"]
    empty: Float[np.ndarray, "example"]
    rounding: Float[np.ndarray, "example"]
    evaluate: Callable[[Sequence[Circuit]], Values]
    draws: int = 100
    iters: int = 10_000
    seed: int = 0
    scores: Scores | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    _known: dict[bytes, np.ndarray] = field(default_factory=dict, repr=False)
    _without_spread: list[int] = field(default_factory=list, repr=False)

    def remember(self, circuits: Sequence[Circuit], values: Values) -> None:
        """Take values that are known already."""
        self._known.update(zip(map(_key, circuits), values, strict=True))

    @property
    def points(self) -> list[Point]:
        """All circuits of all curves, but the full model and the empty circuit."""
        return [
            Point(ranking, size, circuit)
            for ranking, chosen in self.circuits.items()
            for size, circuit in zip(self.sizes, chosen, strict=True)
            if 0 < circuit.n_kept < circuit.space.n_units
        ]

    @property
    def gap(self) -> Float[np.ndarray, "example"]:
        """Full model minus empty circuit."""
        return self.full - self.empty

    def values(self, circuits: Sequence[Circuit]) -> Values:
        """Metric of circuits per example; each is run once, whichever kinds ask for it."""
        keys = [_key(circuit) for circuit in circuits]
        new = {key: c for key, c in zip(keys, circuits, strict=True) if key not in self._known}
        if new:
            self._known.update(zip(new, self.evaluate(list(new.values())), strict=True))
        return np.array([self._known[key] for key in keys]).reshape(len(keys), len(self.full))

    def faithfulness(self, values: Values) -> Float[np.ndarray, "circuit"]:
        """Faithfulness of circuits, from their values: means over examples first."""
        result: np.ndarray = (values.mean(1) - self.empty.mean()) / self.gap.mean()
        return result

    def ratios(
        self, y: Float[np.ndarray, "ratio example"], gap: Float[np.ndarray, "example"]
    ) -> RatioIntervals:
        """Ratios of means with the intervals of this run; resamples without spread are counted."""
        found = ratio_intervals(y, gap, self.iters, self.seed)
        self._without_spread.append(found.without_spread)
        return found

    def take_without_spread(self) -> int:
        """Most resamples without spread of any interval since this was last asked."""
        most = max(self._without_spread, default=0)
        self._without_spread.clear()
        return most

    def interval_columns(self, values: Values) -> dict[str, list[Any]]:
        """Faithfulness with its 95% interval, one entry per circuit; null where there is none."""
        f = self.faithfulness(values)
        found = self.ratios(values - self.empty, self.gap)
        ends = [
            [
                None if np.isnan(x) else float(bound(x, value))
                for x, value in zip(side, f, strict=True)
            ]
            for side, bound in ((found.low, min), (found.high, max))
        ]
        return {"faithfulness": f.tolist(), "ci95_low": ends[0], "ci95_high": ends[1]}

    def generator(self, what: int, point: Point) -> np.random.Generator:
        """Random numbers for a kind and a circuit, the same whatever else is asked for."""
        return np.random.default_rng([self.seed, what, point.circuit.n_kept])


def _key(circuit: Circuit) -> bytes:
    return circuit.space.level.encode() + np.packbits(circuit.kept).tobytes()


def needs_scores(kind: str) -> OptionError:
    """The error of a kind that circuits alone do not serve."""
    return OptionError(
        f"evidence={kind} needs scores, and circuits were given without any. Discover, or give the "
        "scores that they were selected from."
    )
