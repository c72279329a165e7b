"""greedy: grow a circuit from the logits (EAP-IG's rule; Hanna et al. 2024, arXiv 2403.17806).

Start with the logits. Add the best edge whose destination belongs to a node of the circuit, and its
source's node to the circuit; repeat until n edges are in. The order in which edges are added does
not depend on n, so one run serves all sizes and circuits are nested. Ties go by index.

Only edges that bring a new node change what can be added next. So first the nodes are added one by
one, as Prim's algorithm grows a spanning tree: the next edge to bring a node is the best one from
outside the circuit into it. Before that edge, all better edges into the circuit are added. An edge
is hence added together with the first node that comes after its destination and by no better edge.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from harness_circuits.circuits.circuit import Circuit, heads_of_destinations
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.selection.selectors import SELECTORS, Selector, circuit_of, ranked


def greedy(scores: Scores, counts: Sequence[int], ranking: Ranking) -> list[Circuit]:
    """Add the best edges into the circuit that grows from the logits, until n, for each n."""
    order = greedy_order(scores.space.graph, ranked(scores, ranking))
    return [circuit_of(scores, order[:n]) for n in counts]


def greedy_order(graph: Graph, order: Int[np.ndarray, "edge"]) -> Int[np.ndarray, "edge"]:
    """The order in which greedy growth adds the edges.

    Args:
        graph: The graph.
        order: Flat indices of all edges, best first.
    """
    ranks = np.full((graph.n_src, graph.n_dst), len(order))
    ranks.ravel()[order] = np.arange(len(order))
    opened, bringing = _add_nodes(graph, ranks)
    step = np.zeros_like(ranks)
    for dst, seen in enumerate(graph.n_visible):
        worst_so_far = np.maximum.accumulate(bringing[opened[dst] :])
        step[:seen, dst] = opened[dst] + np.searchsorted(worst_so_far, ranks[:seen, dst])
    return order[np.argsort(step.ravel()[order], kind="stable")]


def _add_nodes(
    graph: Graph, ranks: Int[np.ndarray, "src dst"]
) -> tuple[Int[np.ndarray, "dst"], Int[np.ndarray, "step"]]:
    """Add all nodes, one per step.

    Returns:
        After how many steps each destination's node is in; and the rank of each step's edge.
    """
    opened = np.zeros(graph.n_dst, dtype=np.int64)
    closed = np.ones(graph.n_dst, dtype=bool)
    closed[-1] = False
    best = ranks[:, -1].copy()
    outside = np.ones(graph.n_src, dtype=bool)
    bringing = np.empty(graph.n_src, dtype=np.int64)
    only = np.zeros(graph.n_src + 1, dtype=bool)
    for step in range(graph.n_src):
        source = int(np.argmin(np.where(outside, best, ranks.size)))
        bringing[step], outside[source] = best[source], False
        only[source] = True
        new = np.flatnonzero(heads_of_destinations(graph, only) & closed)
        only[source] = False
        if len(new):
            closed[new], opened[new] = False, step + 1
            best = np.minimum(best, ranks[:, new].min(axis=1))
    return opened, bringing


SELECTORS.register("greedy")(
    Selector(
        function=greedy, levels=("edge",), source="EAP-IG; Hanna et al. 2024, arXiv 2403.17806"
    )
)
