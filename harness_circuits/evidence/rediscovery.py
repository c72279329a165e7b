"""rediscovery: is the same circuit found with another seed, more steps, another ablation?

Discovery is done again with one setting changed at a time, on the same training pairs: the seed of
methods that draw something, twice the integration steps, each ablation that the method is defined for
(but learned constants). The new circuits are compared with the run's by overlap corrected for chance,
and evaluated as the run's are. The overlap's interval is over training pairs: it is made of the overlaps
of circuits of random halves of them, from score sums that both discoveries keep. A change that leaves
nothing to score is said, and others are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.overlap import corrected_jaccard
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.errors import NumericalError
from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind
from harness_circuits.evidence.subject import Point, Subject
from harness_circuits.evidence.table import CIRCUIT, Table, circuit_cells
from harness_circuits.evidence.text import interval, named_interval
from harness_circuits.statistics.half_samples import half_sample_ends

WHY_NONE = (
    "overlaps (no score sums of four groups of training pairs were kept, or the selector does more than "
    "rank them)"
)
ByRanking = Mapping[Ranking, Sequence[Circuit]]


def rediscovery(subject: Subject) -> dict[str, Any]:
    """Overlap with the run's circuits and faithfulness, of circuits found under each change."""
    changes, not_defined = [], []
    for name, discover in subject.extras["variations"].items() if subject.points else ():
        try:
            circuits = discover()
        except NumericalError as error:
            not_defined.append({"change": name, "why": str(error)})
            continue
        n_groups, halves = subject.extras.get("halves", _no_halves)(name)
        in_halves = np.array([_overlaps(subject, *both) for both in halves])
        chosen = [_at(subject, circuits, point) for point in subject.points]
        values = subject.values(chosen)  # all at once: what pairs need for all is run once
        found = []
        for at, (point, circuit) in enumerate(zip(subject.points, chosen, strict=True)):
            columns = subject.interval_columns(values[at : at + 1])
            overlap = corrected_jaccard(circuit, point.circuit)
            own = in_halves[:, at] if len(in_halves) else in_halves
            low, high = half_sample_ends(overlap, own, n_groups, most=1.0)
            found.append(
                {
                    "ranking": str(point.ranking),
                    "size": point.size,
                    "overlap": overlap,
                    "overlap_ci95_low": low,
                    "overlap_ci95_high": high,
                    **{k: v[0] for k, v in columns.items()},
                }
            )
        changes.append({"change": name, "circuits": found})
    return {"changes": changes, "not_defined": not_defined}


def _no_halves(name: str) -> tuple[int, Iterator[tuple[ByRanking, ByRanking]]]:
    return 0, iter(())


def _at(subject: Subject, circuits: ByRanking, point: Point) -> Circuit:
    return circuits[point.ranking][subject.sizes.index(point.size)]


def _overlaps(subject: Subject, one: ByRanking, other: ByRanking) -> list[float]:
    """The overlap of two circuits for every circuit of the curves."""
    return [
        corrected_jaccard(_at(subject, one, point), _at(subject, other, point))
        for point in subject.points
    ]


def _lines(found: Mapping[str, Any]) -> list[str]:
    lines = [
        f"rediscovery with {change['change']}, by {one['ranking']} at {one['size']:g}: overlap "
        f"{named_interval(one, 'overlap')}, f "
        f"{interval(one['faithfulness'], one['ci95_low'], one['ci95_high'])}"
        for change in found["changes"]
        for one in change["circuits"]
    ]
    lines += [
        f"rediscovery with {one['change']} is not defined here: {one['why']}"
        for one in found["not_defined"]
    ]
    overlaps = [one for change in found["changes"] for one in change["circuits"]]
    if any(one["overlap_ci95_low"] is None for one in overlaps):
        lines.append(f"rediscovery, without an interval: {WHY_NONE}")
    return lines or [
        "rediscovery: there is no circuit, or no seed, steps or other ablation to change"
    ]


def _tables(found: Mapping[str, Any]) -> list[Table]:
    rows = [
        [
            change["change"],
            *circuit_cells(one),
            named_interval(one, "overlap"),
            interval(one["faithfulness"], one["ci95_low"], one["ci95_high"]),
        ]
        for change in found["changes"]
        for one in change["circuits"]
    ]
    tables = [Table(("changed", *CIRCUIT, "overlap with the circuit", "f"), rows)]
    missing = [[one["change"], one["why"]] for one in found["not_defined"]]
    if missing:
        tables.append(Table(("changed", "why"), missing, "changes that are not defined here"))
    return tables


EVIDENCE.register("rediscovery")(
    Kind(
        function=rediscovery,
        lines=_lines,
        tables=_tables,
        cost=lambda plan: Cost(plan.variations * plan.points, plan.variations),
        extras=("variations", "halves"),
        samples_if_kept=True,
        discovers=True,
        intervals="evaluation pairs for f, training pairs for overlaps (half samples of score sums)",
        description="circuits found with another seed, steps or ablation: overlap and faithfulness",
        source="Meloux et al. 2025, arXiv 2510.00845",
    )
)
