"""EAP-IG-inputs (Hanna et al. 2024, arXiv 2403.17806): EAP with integrated gradients.

Gradients are averaged over points on the line from the corrupted to the clean embeddings. The rule
`left` has points 0, 1/m, ..., (m-1)/m (1 = clean), as the authors' code and hence MIB; `right` has
1/m, ..., 1, as their paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_circuits.attribution.gradient import even_points, path_attribution
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import Choice, Whole
from harness_circuits.passes.memory import NOTHING_MORE, Needs

RULES = ("left", "right", "midpoint", "gausslegendre")
IG_STEPS = Option(Whole(1, 1000), 5, "integration points: one forward and backward pass each")


def eap_ig_inputs(job: Job, *, ig_steps: int, ig_rule: str) -> Scores:
    """Score by the mean gradient along the path between corrupted and clean embeddings.

    Args:
        job: Model, data, metric, level and ablation.
        ig_steps: Number of points.
        ig_rule: Where they lie, one of `RULES`.
    """
    return path_attribution(job, even_points(ig_rule, ig_steps))


def ig_rule_option(default: str) -> Option:
    """Where the points of a path lie."""
    return Option(Choice(RULES), default, "where the integration points lie")


def path_needs(level: str, options: Mapping[str, Any]) -> Needs:
    """At edge level something is kept of every point of a path."""
    return Needs(runs=options["ig_steps"]) if level == "edge" else NOTHING_MORE


METHODS.register("EAP-IG-inputs", also=("EAP-IG", "integrated-gradients"))(
    Method(
        function=eap_ig_inputs,
        options={"ig_steps": IG_STEPS, "ig_rule": ig_rule_option("left")},
        positions=True,
        crossing=True,
        passes=lambda space, options: 2 + 3 * options["ig_steps"],
        needs=path_needs,
        without=("zero",),
        source="Hanna et al. 2024, arXiv 2403.17806",
    )
)
