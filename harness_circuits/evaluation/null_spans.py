"""Random circuits over spans of prompts without dead ends, as those of `null_circuits`."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.circuits.spans import Spans

MOST_MISSES = 1000  # units in a row whose connections do not fit any more

Unit = tuple[int, int, int]  # span, source, destination


class SpanGrowth:
    """Adds edges at spans in a random order, each with the random ones that connect it.

    A node is a source at a span. An edge into a head's keys or values reaches the head at every span
    that sees its own; one of these is drawn to go on from.
    """

    def __init__(self, space: ScoreSpace, spans: Spans, generator: np.random.Generator) -> None:
        """Draw the order.

        Args:
            space: The units.
            spans: Their spans.
            generator: What draws.
        """
        self.graph: Graph = space.graph
        self.owner, self.seen, self.generator = self.graph.destination_owner, spans.seen, generator
        self.order = generator.permutation(np.flatnonzero(space.real))
        priority = np.full(space.real.size, np.inf)
        priority[self.order] = np.arange(len(self.order))
        self.priority = priority.reshape(space.shape)
        self.kept = np.zeros(space.shape, dtype=bool)
        self.connected = np.zeros((len(spans), self.graph.n_src), dtype=bool)
        self.connected[:, 0] = True
        # Nodes from which a path leads to the logits.
        self.useful = np.asarray(space.real.any(axis=2))
        self.crosses = np.array(
            [name[-2:] in ("k>", "v>") for name in self.graph.destination_names]
        )

    def grow(self, n_kept: int) -> Bool[np.ndarray, "span src dst"]:
        """Return the kept units."""
        left, misses = n_kept, 0
        for flat in self.order:
            if left < 1 or misses > MOST_MISSES or self.connected[self.useful].all():
                break
            span, src, dst = map(int, np.unravel_index(flat, self.kept.shape))
            path = set() if self.kept[span, src, dst] else self._path_through((span, src, dst))
            misses = misses + 1 if len(path) > left else 0
            if len(path) <= left:
                left -= self._add(path)
        self._add_single(left)
        return self.kept

    def _path_through(self, unit: Unit) -> set[Unit]:
        """A unit and what connects it to the input and to the logits, as far as not yet kept."""
        path, (span, source, dst) = {unit}, unit
        while not self.connected[span, source]:
            into = self._best_into(span, source)
            path.add(into)
            span, source, _ = into
        span, node = unit[0], int(self.owner[dst])
        while node < self.graph.n_src:
            span = self._reached(span, node, dst)
            if self.connected[span, node]:
                break
            dst = int(self.priority[span, node].argmin())
            path.add((span, node, dst))
            node = int(self.owner[dst])
        return path

    def _best_into(self, span: int, node: int) -> Unit:
        """The first unit of the order that reaches a node."""
        into = np.flatnonzero(self.owner == node)
        block = self.priority[:, :, into].copy()
        here = np.arange(len(self.seen)) == span
        reaches = np.where(self.crosses[into], self.seen[span][:, None], here[:, None])
        block[~np.broadcast_to(reaches[:, None, :], block.shape)] = np.inf
        at, src, column = np.unravel_index(int(block.argmin()), block.shape)
        return int(at), int(src), int(into[column])

    def _reached(self, span: int, node: int, dst: int) -> int:
        """A span at which a node reads a destination: one that is connected, if there is any."""
        if not self.crosses[dst]:
            return span
        able = self.seen[:, span] & self.useful[:, node]
        connected = np.flatnonzero(able & self.connected[:, node])
        if len(connected):
            return int(connected[0])
        return int(self.generator.choice(np.flatnonzero(able)))

    def _add(self, path: set[Unit]) -> int:
        new = [unit for unit in path if not self.kept[unit]]
        for span, src, dst in new:
            self.kept[span, src, dst] = True
            self.connected[span, src] = True
        return len(new)

    def _add_single(self, most: int) -> None:
        """Add units between connected nodes, first of the order first."""
        reading = np.append(self.connected, np.ones((len(self.seen), 1), dtype=bool), axis=1)
        ends = reading[:, self.owner]
        ends[:, self.crosses] = np.asarray(self.seen.T @ ends)[:, self.crosses]
        free = self.connected[:, :, None] & ends[:, None, :] & ~self.kept
        chosen = self.order[free.ravel()[self.order]][:most]
        self.kept.ravel()[chosen] = True
