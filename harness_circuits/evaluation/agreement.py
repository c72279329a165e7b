"""How well scores find a circuit that is known: AUROC, average precision, recall; overlaps.

Units are ranked by absolute score. The true circuit of a node ranking holds the sources with an
edge in it, without the input, which every circuit needs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.known import known_for_task
from harness_circuits.circuits.scores import Scores
from harness_circuits.evaluation.mib_auroc import mib_auroc
from harness_circuits.selection.given import Given

COMPARED = ("edge", "node")  # levels of known circuits


def agreement(
    scores: Scores | None,
    truth: Circuit | None,
    *,
    whole_heads: bool = False,
    published: bool = False,
) -> dict[str, float]:
    """AUROC, area under precision-recall, and recall at the true size.

    Args:
        scores: Edge or node scores; of others, and of none, nothing is reported. Scores over spans
            count with their sums.
        truth: The true circuit, over edges of the same graph.
        whole_heads: Take edges into a head's query, key and value as one, with the largest of
            their absolute scores, which is true if any of the three is.
        published: Add what MIB's code calls the AUROC of edge scores.

    Returns:
        `auroc`, `auprc`, `recall@true_size` and `mib_auroc`, or nothing.
    """
    if scores is None or truth is None or scores.space.level not in COMPARED:
        return {}
    scores = scores.everywhere()
    real = scores.space.real.copy()
    wanted = truth.edges if scores.space.level == "edge" else truth.nodes
    if scores.space.level == "node":
        real[0] = False
    sizes = np.abs(scores.values)
    if whole_heads and scores.space.level == "edge":
        real, wanted, sizes = (_by_node(scores.space.graph, x) for x in (real, wanted, sizes))
    labels, values = wanted[real], sizes[real]
    published = published and scores.space.level == "edge"
    own = {"mib_auroc": mib_auroc(scores, truth)} if published else {}
    return {
        "auroc": auroc(labels, values),
        "auprc": auprc(labels, values),
        "recall@true_size": recall_at_true_size(labels, values),
        **own,
    }


def _by_node(graph: Graph, edges: np.ndarray) -> np.ndarray:
    """Largest entry per source and node that reads it, from entries per source and destination."""
    owners = graph.destination_owner
    nodes = np.unique(owners)
    return np.stack([edges[:, owners == node].max(axis=1) for node in nodes], axis=1)


def auroc(labels: Bool[np.ndarray, "unit"], values: Float[np.ndarray, "unit"]) -> float:
    """Probability that a true unit ranks above a false one; equal values count one half.

    NaN if all units are true or all are false.
    """
    true, false = values[labels], np.sort(values[~labels])
    if not len(true) or not len(false):
        return float("nan")
    below, up_to = (np.searchsorted(false, true, side) for side in ("left", "right"))
    return float(((below + up_to) / 2).mean() / len(false))


def auprc(labels: Bool[np.ndarray, "unit"], values: Float[np.ndarray, "unit"]) -> float:
    """Average precision: the mean, over true units, of the precision when all its ties are taken.

    NaN if no unit is true.
    """
    if not labels.any():
        return float("nan")
    ascending, true = np.sort(values), np.sort(values[labels])
    taken = len(ascending) - np.searchsorted(ascending, true, "left")
    found = len(true) - np.searchsorted(true, true, "left")
    return float((found / taken).mean())


def recall_at_true_size(
    labels: Bool[np.ndarray, "unit"], values: Float[np.ndarray, "unit"]
) -> float:
    """Share of the true units among as many of the highest values; of ties, the expected share.

    NaN if no unit is true.
    """
    size = int(labels.sum())
    if not size:
        return float("nan")
    last = np.sort(values)[-size]
    above, ties = values > last, values == last
    room = size - int(above.sum())
    return float((labels[above].sum() + room * labels[ties].mean()) / size)


def overlap(found: Circuit, known: Circuit) -> dict[str, dict[str, float]]:
    """Precision, recall and Jaccard index of nodes (without the input) and edges."""
    result = {}
    for what, a, b in (
        ("edges", found.edges.ravel(), known.edges.ravel()),
        ("nodes", found.nodes[1:], known.nodes[1:]),
    ):
        both, either = int((a & b).sum()), int((a | b).sum())
        result[what] = {
            "precision": both / int(a.sum()) if a.any() else float("nan"),
            "recall": both / int(b.sum()) if b.any() else float("nan"),
            "jaccard": both / either if either else 1.0,
        }
    return result


def overlap_with_known(found: Given | None, task: str) -> dict[str, Any]:
    """Overlap with the literature's circuit of a task, if the graph is GPT-2 small's.

    Of scores, the circuit of the known one's size by absolute score is taken; precision and recall
    of edges are then equal. Scores and circuits of other units are not compared.
    """
    if found is None or found.space.level not in COMPARED:
        return {}
    named = known_for_task(task, found.space.graph)
    if named is None:
        return {}
    name, known = named
    if found.scores is not None:
        circuit = _like(found.scores, known)
    else:  # the given circuit that is nearest in size
        circuit = min(found.given_circuits, key=lambda given: abs(given.n_kept - known.n_kept))
    return {name: {"n_edges": known.n_kept, **overlap(circuit, known)}}


def _like(scores: Scores, known: Circuit) -> Circuit:
    """The circuit of a known one's size by absolute score, not pruned."""
    scores = scores.everywhere()
    space, kept = scores.space, np.zeros(scores.space.shape, dtype=bool)
    n = known.n_kept if space.level == "edge" else int(known.nodes.sum())
    values = np.where(space.real, np.abs(scores.values), -1.0)
    kept.ravel()[np.argsort(-values, axis=None, kind="stable")[:n]] = True
    return Circuit(space, kept)
