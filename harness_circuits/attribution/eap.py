"""EAP, edge attribution patching (Syed et al. 2023, arXiv 2310.10348), and its node form (AtP).

The gradient on the clean prompt, contracted with replacement minus clean output. Two forward passes
and one backward pass per batch.
"""

from __future__ import annotations

from harness_circuits.attribution.gradient import PathPoint, path_attribution
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores


def eap(job: Job) -> Scores:
    """Score by the gradient on the clean prompt."""
    return path_attribution(job, [PathPoint(1.0, 1.0)])


METHODS.register("EAP", also=("AtP", "attribution-patching", "edge-attribution-patching"))(
    Method(
        function=eap,
        clean_only=True,
        positions=True,
        crossing=True,
        passes=lambda space, options: 4,
        source="Syed et al. 2023, arXiv 2310.10348",
    )
)
