"""EAP-IG-inputs (Hanna et al. 2024, arXiv 2403.17806): EAP with integrated gradients.

Gradients are averaged over points on the line from the corrupted to the clean embeddings. The rule
`left` has points 0, 1/m, ..., (m-1)/m (1 = clean), as the authors' code and hence MIB; `right` has
1/m, ..., 1, as their paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_circuits.attribution.gradient import even_points, path_attribution
from harness_circuits.attribution.job import METHODS, Job, Method
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import OptionError
from harness_circuits.passes.memory import NOTHING_MORE, Needs

RULES = ("left", "right", "midpoint", "gausslegendre")


def eap_ig_inputs(job: Job, *, ig_steps: int, ig_rule: str) -> Scores:
    """Score by the mean gradient along the path between corrupted and clean embeddings.

    Args:
        job: Model, data, metric, level and ablation.
        ig_steps: Number of points.
        ig_rule: Where they lie, one of `RULES`.
    """
    return path_attribution(job, even_points(ig_rule, ig_steps))


def check_ig(ig_steps: int, ig_rule: str) -> None:
    """Raise `OptionError` unless steps and rule can be used."""
    if type(ig_steps) is not int or ig_steps < 1:
        raise OptionError(f"ig_steps is a whole number of at least 1, got {ig_steps!r}.")
    if ig_rule not in RULES:
        raise OptionError(f"Unknown ig_rule {ig_rule!r}. Known: {', '.join(RULES)}.")


def path_needs(level: str, options: Mapping[str, Any]) -> Needs:
    """At edge level something is kept of every point of a path."""
    return Needs(runs=options["ig_steps"]) if level == "edge" else NOTHING_MORE


METHODS.register("EAP-IG-inputs")(
    Method(
        function=eap_ig_inputs,
        options={"ig_steps": 5, "ig_rule": "left"},
        check=check_ig,
        needs=path_needs,
        ablations=("patching", "mean", "mean-positional"),
        source="Hanna et al. 2024, arXiv 2403.17806",
    )
)
