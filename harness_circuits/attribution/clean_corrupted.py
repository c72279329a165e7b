"""clean-corrupted (EAP-IG's authors, in the code of arXiv 2403.17806): two gradients, one mean.

The gradients on the clean and on the corrupted run, averaged: the trapezoid rule of EAP-IG-inputs
with its two end points. It needs a run in which everything is replaced, so it is defined for
patching only. Three forward and two backward passes per batch.
"""

from __future__ import annotations

from harness_circuits.attribution.gradient import PathPoint, path_attribution
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores
from harness_circuits.passes.memory import Needs


def clean_corrupted(job: Job) -> Scores:
    """Score by the mean of the gradients on the clean and on the corrupted prompt."""
    return path_attribution(job, [PathPoint(1.0, 0.5), PathPoint(0.0, 0.5)])


METHODS.register("clean-corrupted")(
    Method(
        function=clean_corrupted,
        only=("patching",),
        positions=True,
        crossing=True,
        passes=lambda space, options: 7,
        needs=lambda level, options: Needs(runs=2),
        source="code of Hanna et al. 2024, arXiv 2403.17806",
    )
)
