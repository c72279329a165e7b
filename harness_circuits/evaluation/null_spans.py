"""Random circuits over spans of prompts without dead ends, as those of `null_circuits`."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.circuits.spans import Spans

MOST_MISSES = 1000  # units in a row whose connections do not fit any more

Unit = tuple[int, int, int]  # span, source (or key span, behind the sources), destination


class SpanGrowth:
    """Adds edges at spans in a random order, each with the random ones that connect it.

    A node is a source at a span. An edge into a head's keys or values reaches the head at every span
    that sees its own; one of these is drawn to go on from. Where crossing edges are units, one comes
    with every edge into a query, key or value, and such an edge with every crossing edge.
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
        self.crossing, self.n_src = space.crossing, space.graph.n_src
        self.order = generator.permutation(np.flatnonzero(space.real))
        priority = np.full(space.real.size, np.inf)
        priority[self.order] = np.arange(len(self.order))
        self.priority = priority.reshape(space.shape)
        self.kept = np.zeros(space.shape, dtype=bool)
        self.connected = np.zeros((len(spans), self.graph.n_src), dtype=bool)
        self.connected[:, 0] = True
        # Nodes from which a path leads to the logits.
        self.useful = np.asarray(space.edges_in(space.real).any(axis=2))
        self.unfed = np.asarray(space.edges_in(space.real).any(axis=1))
        names = self.graph.destination_names
        self.crosses = np.array([name[-2:] in ("k>", "v>") for name in names])
        self.of_heads = np.array([name.endswith(">") for name in names])

    def grow(self, n_kept: int) -> Bool[np.ndarray, "span row dst"]:
        """Return the kept units."""
        left, misses = n_kept, 0
        for flat in self.order:
            if left < 1 or misses > MOST_MISSES or not self._open():
                break
            span, src, dst = map(int, np.unravel_index(flat, self.kept.shape))
            path = set() if self.kept[span, src, dst] else self._path_through((span, src, dst))
            misses = misses + 1 if len(path) > left else 0
            if len(path) <= left:
                left -= self._add(path)
        self._add_single(left)
        return self.kept

    def _open(self) -> bool:
        """Whether some unit would still need others to lie on a path."""
        alone = self.crossing and (self.unfed & self.of_heads).any()
        return bool(alone or not self.connected[self.useful].all())

    def _path_through(self, unit: Unit) -> set[Unit]:
        """A unit and what connects it to the input and to the logits, as far as not yet kept."""
        path, (span, row, dst) = {unit}, unit
        reached = None
        if row >= self.n_src:  # a crossing edge, and the first edge that it can carry
            reached = span
            span = row - self.n_src if self.crosses[dst] else span
            row = int(self.priority[span, : self.n_src, dst].argmin())
            path.add((span, row, dst))
        at, source = span, row
        while not self.connected[at, source]:
            into = self._best_into(at, source)
            path |= {into, *self._crossing(into[0], at, into[2])}
            at, source, _ = into
        node = int(self.owner[dst])
        while node < self.n_src:
            to = self._reached(span, node, dst) if reached is None else reached
            path |= set() if reached is not None else self._crossing(span, to, dst)
            span, reached = to, None
            if self.connected[span, node]:
                break
            dst = int(self.priority[span, node].argmin())
            path.add((span, node, dst))
            node = int(self.owner[dst])
        return path

    def _crossing(self, span: int, query: int, dst: int) -> set[Unit]:
        """The crossing edge that carries what arrives at a span to a head at another; none without."""
        if not self.crossing or not self.of_heads[dst]:
            return set()
        if self.crosses[dst]:
            return {(query, self.n_src + span, dst)}
        row = self.n_src + int(self.priority[query, self.n_src :, dst].argmin())
        return {(query, row, dst)}

    def _best_into(self, span: int, node: int) -> Unit:
        """The first unit of the order that reaches a node."""
        into = np.flatnonzero(self.owner == node)
        block = self.priority[:, : self.n_src, into].copy()
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
            if src < self.n_src:
                self.connected[span, src], self.unfed[span, dst] = True, False
        return len(new)

    def _add_single(self, most: int) -> None:
        """Add units between connected nodes, first of the order first, until none can be added."""
        while most > 0:
            free = self._between_connected() & ~self.kept
            chosen = self.order[free.ravel()[self.order]][:most]
            self.kept.ravel()[chosen] = True
            most -= len(chosen)
            if not len(chosen) or not self.crossing:
                break

    def _between_connected(self) -> Bool[np.ndarray, "span row dst"]:
        """Units that lie on a path with what is kept."""
        reading = np.append(self.connected, np.ones((len(self.seen), 1), dtype=bool), axis=1)
        ends = reading[:, self.owner]
        if not self.crossing:
            ends[:, self.crosses] = np.asarray(self.seen.T @ ends)[:, self.crosses]
            return np.asarray(self.connected[:, :, None] & ends[:, None, :])
        edges, crossings = self.kept[:, : self.n_src], self.kept[:, self.n_src :]
        fed = np.asarray(edges.any(axis=1))
        used = crossings & ends[:, None]
        carried = np.where(self.crosses, used.any(axis=0), used.any(axis=1))
        on = np.where(self.crosses, fed[None], fed[:, None]) & ends[:, None]
        into = self.connected[:, :, None] & np.where(self.of_heads, carried, ends)[:, None]
        return np.concatenate([into, on & self.of_heads & self.seen[:, :, None]], axis=1)
