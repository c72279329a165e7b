"""Random graphs, scores and counts for the tests of selectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import LEVELS, Level, Scores, ScoreSpace


@dataclass(frozen=True)
class Case:
    scores: Scores
    counts: list[int]
    ranking: Ranking

    @property
    def values(self) -> dict[int, float]:
        """Ranked value of every unit, by flat index."""
        values = self.ranking.of(self.scores.values)
        units = np.flatnonzero(self.scores.space.real)
        return {int(unit): float(values.flat[unit]) for unit in units}


@st.composite
def graphs(draw: st.DrawFn, most_layers: int = 3, most_heads: int = 4) -> Graph:
    heads = draw(st.integers(1, most_heads))
    groups = draw(st.sampled_from([n for n in range(1, heads + 1) if heads % n == 0]))
    layers = draw(st.integers(1, most_layers))
    return Graph(
        n_layers=layers,
        n_heads=heads,
        n_kv_heads=groups,
        d_model=2,
        parallel=draw(st.booleans()),
        d_mlp=3,
    )


@st.composite
def cases(draw: st.DrawFn, levels: tuple[Level, ...] = LEVELS, **sizes: int) -> Case:
    """Scores are small whole numbers, so that ties are common."""
    space = ScoreSpace(draw(graphs(**sizes)), draw(st.sampled_from(levels)))
    whole = draw(hnp.arrays(np.int8, space.shape, elements=st.integers(-6, 6)))
    values = np.where(space.real, whole, 0).astype(np.float64)
    counts = draw(st.lists(st.integers(1, space.n_units), min_size=1, max_size=4))
    return Case(Scores(space, values), sorted(counts), draw(st.sampled_from(Ranking)))


def with_samples(scores: Scores, n: int = 6, noise: float = 2.0, seed: int = 0) -> Scores:
    """The same scores, as means over samples of noisy sums."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 4, size=n)
    sums = scores.values * sizes.reshape(-1, *[1] * scores.values.ndim)
    change = noise * generator.standard_normal(sums.shape)
    change -= change.mean(0)
    kept = np.where(scores.space.real, sums + change, 0).astype(np.float32)
    return replace(scores, samples=Samples(kept, sizes))


def random_scores(graph: Graph, seed: int = 0, level: Level = "edge") -> Scores:
    """Normal scores without ties."""
    space = ScoreSpace(graph, level)
    values = np.random.default_rng(seed).standard_normal(space.shape)
    return Scores(space, np.where(space.real, values, 0))


class Additive:
    """A game in which a circuit's faithfulness is the sum of its scores, as a share of some."""

    def __init__(self, scores: Scores, whole: float) -> None:
        self.scores, self.whole, self.calls = scores, whole, list[tuple[int, int]]()

    def __call__(self, circuits: Sequence[Circuit], n_pairs: int) -> np.ndarray:
        self.calls.append((len(circuits), n_pairs))
        return np.array([self.scores.values[c.kept].sum() for c in circuits]) / self.whole

    def distance(self, circuit: Circuit) -> float:
        return float(abs(self([circuit], 0)[0] - 1))
