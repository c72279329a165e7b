"""Random circuits of a given size: what a found circuit has to be better than.

Units drawn one by one would be no opponent: a small random set of edges has hardly a path from the
input to the logits, and does what the empty circuit does. So every unit comes with the random
connections that it needs to matter, and circuits are compared at the number of units they keep
after pruning. (Circuits against random ones of their size: Shi et al. 2024, arXiv 2410.13032.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.evaluation.null_spans import SpanGrowth

MOST_MISSES = 1000  # edges in a row whose connections do not fit any more


def random_circuits(found: Sequence[Circuit], n: int, seed: int) -> list[Circuit]:
    """Draw n random circuits for each found one, which keep as many units."""
    return [
        random_circuit(one.space, one.n_kept, first)
        for one in found
        for first in range(seed, seed + n)
    ]


def random_circuit(space: ScoreSpace, n_kept: int, seed: int) -> Circuit:
    """Draw a circuit without dead ends.

    Args:
        space: Its graph and level.
        n_kept: Units it keeps. At edge level it may keep a few less, where no edge is left that
            fits (with 2 edges: `input->logits` and nothing that a single edge can add); over spans
            up to one of its shortest paths less.
        seed: Seed of the draw; the same seed and count give the same circuit.
    """
    generator = np.random.default_rng([seed, n_kept])
    if n_kept < 1:
        return Circuit.empty(space)
    if n_kept >= space.n_units:
        return Circuit.full(space)
    if space.spans is not None:
        return Circuit(space, SpanGrowth(space, space.spans, generator).grow(n_kept))
    if space.level == "edge":
        return Circuit(space, _Growth(space.graph, space.real, generator).grow(n_kept))
    kept = np.zeros(space.n_units, dtype=bool)
    of_input = np.flatnonzero(space.units_of(np.arange(space.graph.n_src) == 0))
    # The input node, or a neuron of it: all else hangs on it, unless it is kept in any case.
    first = of_input[[generator.integers(len(of_input))]] if len(of_input) else of_input
    others = np.delete(np.arange(space.n_units), first)
    kept[[*first, *generator.choice(others, n_kept - len(first), replace=False)]] = True
    return Circuit(space, kept.reshape(space.shape))


def random_circuit_outside(circuit: Circuit, seed: int) -> Circuit:
    """Draw a circuit of units that a circuit does not keep.

    Args:
        circuit: The circuit.
        seed: Seed of the draw.

    Returns:
        As many units as the circuit keeps, or what fits outside it: at edge level without dead ends.
    """
    space, n_kept = circuit.space, circuit.n_kept
    generator = np.random.default_rng([seed, n_kept])
    free = space.real & ~circuit.kept
    if space.level == "edge":
        return Circuit(space, _Growth(space.graph, free, generator).grow(n_kept))
    kept = np.zeros(free.size, dtype=bool)
    units = np.flatnonzero(free)
    kept[generator.choice(units, min(n_kept, len(units)), replace=False)] = True
    return Circuit(space, kept.reshape(free.shape))


def null_facts(
    ranking: Ranking,
    found: Float[np.ndarray, "size"],
    null: Float[np.ndarray, "size null"],
    kept: list[list[int]],
) -> dict[str, Any]:
    """Compare faithfulness with that of random circuits.

    By the signed ranking, higher faithfulness is better (CPR); by the absolute one, faithfulness
    nearer to 1 is (CMD).

    Args:
        ranking: What the found circuits were ranked by.
        found: Faithfulness of the found circuit of each size.
        null: Faithfulness of the random circuits.
        kept: Units that the random circuits keep, per size.

    Returns:
        Plain JSON, a value per size: `percentile`, the share of random circuits that the found one
        beats, ties counted half (0.5 where all are the same circuit, as at size 1); `p_value`, the
        chance of a random circuit at least as good, (1 + their number) / (1 + n); the random
        circuits' `mean`, `low` and `high` (the middle 95%) and mean `kept` units; and their `n`.
    """
    sign = 1 if ranking.higher_is_better else -1
    better, random = sign * ranking.judged(found), sign * ranking.judged(null)
    tie = np.isclose(random, better[:, None], rtol=0, atol=1e-9)
    above = (random < better[:, None]) & ~tie
    n = null.shape[1]
    low, high = np.quantile(null, [0.025, 0.975], axis=1)
    return {
        "n": n,
        "percentile": (above + tie / 2).mean(axis=1).tolist(),
        "p_value": ((1 + (~above).sum(axis=1)) / (1 + n)).tolist(),
        "mean": null.mean(axis=1).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "kept": np.mean(kept, axis=1).tolist(),
    }


class _Growth:
    """Adds edges of some in a random order, each with the random edges that connect it."""

    def __init__(
        self, graph: Graph, edges: Bool[np.ndarray, "src dst"], generator: np.random.Generator
    ) -> None:
        real = np.flatnonzero(edges)
        priority = np.full(graph.edge_mask.size, np.inf)
        self.graph, self.owner, self.edges = graph, graph.destination_owner, edges
        self.order = generator.permutation(real)
        priority[self.order] = np.arange(len(real))
        self.priority = priority.reshape(graph.edge_mask.shape)
        self.kept = np.zeros(graph.edge_mask.shape, dtype=bool)
        self.connected = np.zeros(graph.n_src, dtype=bool)
        self.connected[0] = True

    def grow(self, n_kept: int) -> Bool[np.ndarray, "src dst"]:
        """Return the kept edges."""
        left, misses = n_kept, 0
        for flat in self.order:
            if left < 1 or misses > MOST_MISSES or self.connected.all():
                break
            src, dst = divmod(int(flat), self.graph.n_dst)
            path = [] if self.kept[src, dst] else self._path_through(src, dst)
            if not all(self.edges[edge] for edge in path):
                continue
            misses = misses + 1 if len(path) > left else 0
            if len(path) <= left:
                left -= self._add(path)
        left -= self._add_single(left)
        for source in np.argsort(self.priority[:, -1]):
            pair = [(0, self._best_into(source, [0])[1]), (source, -1)] if source else []
            if left >= 2 and not self.connected[source] and all(self.edges[e] for e in pair):
                left -= self._add(pair)
                left -= self._add_single(left)
        return self.kept

    def _path_through(self, src: int, dst: int) -> list[tuple[int, int]]:
        """An edge and what connects it to the input and to the logits, as far as not yet kept.

        Where no edge of those to draw from leads on, the path ends with one that is not among them.
        """
        path, source, node = [(src, dst)], src, int(self.owner[dst])
        while not self.connected[source]:
            path.append(self._best_into(source, slice(None)))
            if not self.edges[path[-1]]:
                return path
            source = path[-1][0]
        while node < self.graph.n_src and not self.connected[node]:
            path.append((node, int(self.priority[node].argmin())))
            if not self.edges[path[-1]]:
                return path
            node = int(self.owner[path[-1][1]])
        return path

    def _best_into(self, node: int, sources: slice | list[int]) -> tuple[int, int]:
        """The first edge of the order that goes from one of some sources into a node."""
        into = np.flatnonzero(self.owner == node)
        block = self.priority[sources][:, into]
        src, at = np.unravel_index(int(block.argmin()), block.shape)
        return int(src), int(into[at])

    def _add(self, path: list[tuple[int, int]]) -> int:
        for src, dst in path:
            self.kept[src, dst] = True
            self.connected[src] = True
        return len(path)

    def _add_single(self, most: int) -> int:
        """Add edges between connected nodes, first of the order first."""
        ends = np.append(self.connected, True)[self.owner]
        free = self.connected[:, None] & ends[None, :] & self.edges & ~self.kept
        chosen = self.order[free.ravel()[self.order]][:most]
        self.kept.ravel()[chosen] = True
        return len(chosen)
