"""rediscovery: is the same circuit found with another seed, more steps, another ablation?

Discovery is done again with one setting changed at a time, on the same training pairs: the seed of
methods that draw something, twice the integration steps, each ablation that the method is defined for
(but learned constants). The new circuits are compared with the run's by overlap corrected for chance,
and evaluated as the run's are. A change that leaves nothing to score is said, and others are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_circuits.circuits.overlap import corrected_jaccard
from harness_circuits.errors import NumericalError
from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind
from harness_circuits.evidence.subject import Subject


def rediscovery(subject: Subject) -> dict[str, Any]:
    """Overlap with the run's circuits and faithfulness, of circuits found under each change."""
    changes, not_defined = [], []
    for name, discover in subject.extras["variations"].items() if subject.points else ():
        try:
            circuits = discover()
        except NumericalError as error:
            not_defined.append({"change": name, "why": str(error)})
            continue
        found = []
        for point in subject.points:
            circuit = circuits[point.ranking][subject.sizes.index(point.size)]
            columns = subject.interval_columns(subject.values([circuit]))
            about = {"ranking": str(point.ranking), "size": point.size}
            overlap = corrected_jaccard(circuit, point.circuit)
            found.append({**about, "overlap": overlap, **{k: v[0] for k, v in columns.items()}})
        changes.append({"change": name, "circuits": found})
    return {"changes": changes, "not_defined": not_defined}


def _lines(found: Mapping[str, Any]) -> list[str]:
    lines = [
        f"rediscovery with {change['change']}, by {one['ranking']} at {one['size']:g}: overlap "
        f"{one['overlap']:z.2f}, f {one['faithfulness']:z.2f}"
        for change in found["changes"]
        for one in change["circuits"]
    ]
    lines += [
        f"rediscovery with {one['change']} is not defined here: {one['why']}"
        for one in found["not_defined"]
    ]
    return lines or [
        "rediscovery: there is no circuit, or no seed, steps or other ablation to change"
    ]


EVIDENCE.register("rediscovery")(
    Kind(
        function=rediscovery,
        lines=_lines,
        cost=lambda plan: Cost(plan.variations * plan.points, plan.variations),
        extras=("variations",),
        discovers=True,
        description="circuits found with another seed, steps or ablation: overlap and faithfulness",
        source="Meloux et al. 2025, arXiv 2510.00845",
    )
)
