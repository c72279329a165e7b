"""InterpBench's AUROC as MIB computes it (Mueller et al. 2025, arXiv 2504.13151; its track's code).

Not the area under the ROC curve of the scores (`agreement.auroc`), but of ten circuits: those that
grow greedily by |score| to MIB's ten sizes, rounded up, then pruned. Their shares of true and of
false edges are joined by straight lines; the false ones are divided by the last of them, so that the
axis ends at 1, and nothing joins the smallest circuit to (0, 0).
"""

from __future__ import annotations

import math

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.selection import select


def mib_auroc(scores: Scores, truth: Circuit) -> float:
    """MIB's area for edge scores.

    Args:
        scores: Edge scores.
        truth: The true circuit, over edges of the same graph.

    Returns:
        The area; NaN if all edges are true or none is.
    """
    counts = [math.ceil(size * scores.space.n_units) for size in MIB_SIZES]
    circuits = select(scores, counts, "greedy", ranking=Ranking.ABSOLUTE)
    true, real = truth.edges, scores.space.real
    if not true.any() or not (real & ~true).any():
        return float("nan")
    tpr = np.array([(c.kept & true).sum() for c in circuits]) / true.sum()
    fpr = np.array([(c.kept & ~true).sum() for c in circuits]) / (real & ~true).sum()
    return float(((tpr[1:] + tpr[:-1]) / 2 * np.diff(fpr / fpr[-1])).sum())
