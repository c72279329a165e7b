"""greedy: grow a circuit from the logits (EAP-IG's rule; Hanna et al. 2024, arXiv 2403.17806).

Start with the logits. Add the best edge whose destination belongs to a node of the circuit, and its
source's node to the circuit; repeat until n edges are in. The order in which edges are added does
not depend on n, so one run serves all sizes and circuits are nested. Ties go by index.

Every destination that can be extended offers its best edge that is not taken yet; a heap holds
these offers, as ranks among all edges. Once every node is in, the rest follows in rank order.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from harness_circuits.circuit import Circuit, heads_of_destinations
from harness_circuits.graph import Graph
from harness_circuits.scores import Scores
from harness_circuits.selection.selectors import SELECTORS, Selector, circuit_of, ranked


def greedy(scores: Scores, counts: Sequence[int], absolute: bool) -> list[Circuit]:
    """Add the best edges into the circuit that grows from the logits, until n, for each n."""
    order = greedy_order(scores.space.graph, ranked(scores, absolute), max(counts, default=0))
    return [circuit_of(scores, order[:n]) for n in counts]


def greedy_order(graph: Graph, order: Int[np.ndarray, "edge"], n: int) -> Int[np.ndarray, "taken"]:
    """The first n edges that greedy growth adds.

    Args:
        graph: The graph.
        order: Flat indices of all edges, best first.
        n: How many edges to add.
    """
    columns = _ranks_by_destination(graph, order)
    readers = _destinations_of_sources(graph)
    sources, destinations = np.unravel_index(order, (graph.n_src, graph.n_dst))
    source_of, destination_of = sources.tolist(), destinations.tolist()
    closed, opened = set(range(graph.n_src)), np.zeros(graph.n_dst, dtype=bool)
    offers = {graph.n_dst - 1: iter(columns[-1].tolist())}
    opened[-1] = True
    heap = [next(offers[graph.n_dst - 1])]
    taken: list[int] = []
    while heap and len(taken) < n and closed:
        rank = heap[0]
        taken.append(rank)
        following = next(offers[destination_of[rank]], None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, following)
        source = source_of[rank]
        if source in closed:
            closed.remove(source)
            for new in readers[source]:
                if not opened[new]:
                    opened[new] = True
                    offers[new] = iter(columns[new].tolist())
                    heapq.heappush(heap, next(offers[new]))
    rest = np.ones(len(order), dtype=bool)
    rest[taken] = False
    tail = np.flatnonzero(rest)[: n - len(taken)]
    return order[np.concatenate([np.array(taken, dtype=np.int64), tail])]


def _ranks_by_destination(
    graph: Graph, order: Int[np.ndarray, "edge"]
) -> list[Int[np.ndarray, "visible"]]:
    """For every destination, the ranks of its edges, ascending."""
    destinations = order % graph.n_dst
    by_destination = np.argsort(destinations, kind="stable")
    return np.split(by_destination, np.cumsum(graph.n_visible)[:-1])


def _destinations_of_sources(graph: Graph) -> list[list[int]]:
    """For every source, the destinations that its node reads: none for the input."""
    only = np.zeros(graph.n_src + 1, dtype=bool)
    readers: list[list[int]] = []
    for source in range(graph.n_src):
        only[source] = True
        readers.append(np.flatnonzero(heads_of_destinations(graph, only)).tolist())
        only[source] = False
    return readers


SELECTORS.register("greedy")(
    Selector(
        function=greedy, levels=("edge",), source="EAP-IG; Hanna et al. 2024, arXiv 2403.17806"
    )
)
