"""ilp: the connected circuit with the highest sum of scores, by integer programming.

Maximise the sum of s_e x_e over binary x_e, one per edge, subject to (Nikankin et al. 2025, arXiv
2510.25786)

- sum of x_e <= n;
- an edge needs its source to have a kept incoming edge, unless the source is the input;
- an edge needs its destination's node to have a kept outgoing edge, unless that is the logits.

Edges point forward, so these conditions put every kept edge on a path from input to logits. Each
node gets a variable y_u in [0, 1] that is at most its kept incoming and at most its kept outgoing
edges, and bounds x_e of the edges at it. Solved by HiGHS.

Edges of negative (signed) score are kept only where they connect others, so a circuit can be
smaller than its budget; and the best circuits of growing budgets need not be nested.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from harness_circuits.circuits.circuit import Circuit, heads_of_destinations
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import NumericalError, OptionError
from harness_circuits.options import Option
from harness_circuits.options.kinds import Number, Whole
from harness_circuits.selection.selectors import SELECTORS, Selector, circuit_of


def ilp(
    scores: Scores,
    counts: Sequence[int],
    ranking: Ranking,
    *,
    time_limit: float,
    gap: float,
    max_edges: int,
) -> list[Circuit]:
    """Solve one integer program per budget.

    Args:
        scores: Edge scores.
        counts: Budgets.
        ranking: Whether the sum of scores or of |score| is maximised.
        time_limit: Seconds per budget.
        gap: Relative distance from the proven optimum that is accepted.
        max_edges: Edges of the largest graph that is tried.

    Raises:
        NumericalError: No circuit within the gap was found in time.
    """
    graph = scores.space.graph
    edges = np.flatnonzero(scores.space.real)
    values = ranking.of(scores.values).ravel()[edges]
    rules = _connectivity(graph, edges)
    options = {"time_limit": float(time_limit), "mip_rel_gap": float(gap)}
    return [circuit_of(scores, edges[_solve(values, n, rules, options)]) for n in counts]


def _solve(
    values: Float[np.ndarray, "edge"], n: int, rules: Any, options: dict[str, float]
) -> Int[np.ndarray, "kept"]:
    """Positions of the kept edges."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    n_edges, n_variables = len(values), rules.shape[1]
    is_edge = np.arange(n_variables) < n_edges
    largest = np.abs(values).max()
    cost = np.zeros(n_variables)
    if largest > 0:
        cost[:n_edges] = -values / largest
    found = milp(
        cost,
        integrality=is_edge.astype(int),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(is_edge[None, :].astype(float), -np.inf, n),
            LinearConstraint(rules, -np.inf, 0),
        ],
        options=options,
    )
    if found.status != 0:
        best = f"a gap of {found.mip_gap:.2%}" if found.x is not None else "no circuit yet"
        raise NumericalError(
            f"selection=ilp did not find the best circuit of {n} of {n_edges} edges within "
            f"{options['time_limit']:g} s ({best}). Raise time_limit or gap, or take "
            "selection=greedy."
        )
    return np.flatnonzero(found.x[:n_edges] > 0.5)


def _connectivity(graph: Graph, edges: Int[np.ndarray, "edge"]) -> Any:
    """Sparse matrix A of the rules A (x, y) <= 0; columns are the edges, then the sources."""
    from scipy.sparse import coo_array, vstack

    sources, destinations = np.divmod(edges, graph.n_dst)
    at = np.arange(len(edges))
    owned = _owners(graph)
    reads = owned[:, destinations]
    inner = np.arange(1, graph.n_src)
    shape = (graph.n_src, len(edges) + graph.n_src)

    def rule(plus: tuple[Any, Any], minus: tuple[Any, Any], rows: int) -> Any:
        row = np.concatenate([plus[0], minus[0]])
        column = np.concatenate([plus[1], minus[1]])
        value = np.concatenate([np.ones(len(plus[0])), -np.ones(len(minus[0]))])
        return coo_array((value, (row, column)), shape=(rows, shape[1]))

    node = len(edges) + np.arange(graph.n_src)
    node_in, edge_in = np.nonzero(reads)
    out = sources > 0
    to_inner = destinations < graph.n_dst - 1
    owner, read_by = np.nonzero(reads.T[to_inner])
    return vstack(
        [
            rule((inner, node[inner]), (node_in, edge_in), graph.n_src),
            rule((inner, node[inner]), (sources[out], at[out]), graph.n_src),
            rule((at[out], at[out]), (at[out], node[sources[out]]), len(edges)),
            rule((at[to_inner], at[to_inner]), (at[to_inner][owner], node[read_by]), len(edges)),
        ],
        format="csr",
    )


def _owners(graph: Graph) -> Any:
    """Whether a source's node reads a destination, [src, dst]."""
    one_each = np.eye(graph.n_src, graph.n_src + 1, dtype=bool)
    return np.stack([heads_of_destinations(graph, nodes) for nodes in one_each])


def check(space: ScoreSpace | None, *, time_limit: float, gap: float, max_edges: int) -> None:
    """Raise `OptionError` unless the graph, where it is known, is small enough."""
    if space is not None and space.n_units > max_edges:
        raise OptionError(
            "selection=ilp solves an integer program over all edges. This graph has "
            f"{space.n_units}, max_edges allows {max_edges}. Take selection=greedy, or raise "
            "max_edges and time_limit (10000 edges take up to a minute, 30000 may take many)."
        )


SELECTORS.register("ilp")(
    Selector(
        function=ilp,
        options={
            "time_limit": Option(Number(0.1, 604_800), 60.0, "seconds per circuit, at most"),
            "gap": Option(Number(0, 1), 1e-4, "relative gap to the optimum that will do"),
            "max_edges": Option(Whole(1, 10_000_000), 10_000, "edges of the graph, at most"),
        },
        levels=("edge",),
        nested=False,
        check=check,
        source="Nikankin et al. 2025, arXiv 2510.25786",
    )
)
