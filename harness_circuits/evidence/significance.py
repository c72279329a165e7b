"""significance: how many units have an effect at all, and how many of the circuit do.

Scores are means of effects over training pairs. For each unit, its sign is flipped in random groups of
pairs; the false discovery rate over all units is held at 5% by Benjamini and Yekutieli. Few groups or
few flips make no p-value small enough for a graph of many units; the smallest that can be had is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind
from harness_circuits.evidence.subject import Subject, needs_scores
from harness_circuits.evidence.table import CIRCUIT, Table, circuit_cells
from harness_circuits.statistics.sign_flips import ROUNDS, benjamini_yekutieli, sign_flip_p

RATE = 0.05  # of false findings
GROUPS = 64  # of training pairs


def significance(subject: Subject) -> dict[str, Any]:
    """Significant units of the graph, and how many of them each circuit keeps."""
    scores = subject.scores
    if scores is None or scores.samples is None:
        raise needs_scores("significance")
    real = np.flatnonzero(scores.space.real)
    sums = scores.samples.sums.reshape(len(scores.samples), -1)[:, real]
    p = sign_flip_p(sums, subject.seed)
    significant = np.zeros(scores.space.real.size, dtype=bool)
    significant[real[benjamini_yekutieli(p) <= RATE]] = True
    n = int(significant.sum())
    circuits = []
    for point in subject.points:
        inside = int(significant[point.circuit.kept.ravel()].sum())
        about = {"ranking": str(point.ranking), "size": point.size, "kept": point.circuit.n_kept}
        circuits.append({**about, "significant": inside})
    n_groups = len(scores.samples)
    return {
        "rate": RATE,
        "units": len(real),
        "significant": n,
        "groups": n_groups,
        "smallest_p": max(1 / (1 + sum(ROUNDS)), 2.0 ** (1 - n_groups)),
        "circuits": circuits,
    }


def _lines(found: Mapping[str, Any]) -> list[str]:
    first = (
        f"significance: {found['significant']} of {found['units']} units have an effect at a false "
        f"discovery rate of {found['rate']:.0%} ({found['groups']} groups of training pairs, smallest "
        f"possible p {found['smallest_p']:.1g})"
    )
    return [
        first,
        *(
            f"significance, by {one['ranking']} at {one['size']:g}: {one['significant']} of "
            f"{one['kept']} kept units"
            for one in found["circuits"]
        ),
    ]


def _tables(found: Mapping[str, Any]) -> list[Table]:
    rows = [["all", "", f"{found['units']:,}", f"{found['significant']:,}"]]
    rows += [
        [*circuit_cells(one), f"{one['kept']:,}", f"{one['significant']:,}"]
        for one in found["circuits"]
    ]
    effect = f"with an effect, at a false discovery rate of {found['rate']:.0%}"
    return [Table((*CIRCUIT, "units", effect), rows)]


EVIDENCE.register("significance")(
    Kind(
        function=significance,
        lines=_lines,
        tables=_tables,
        cost=lambda plan: Cost(),
        samples=GROUPS,
        intervals="",
        no_interval="the counts (what is held is the share of false ones among them)",
        description="units whose effect is not chance, at a false discovery rate of 5%",
        source="Benjamini and Yekutieli 2001",
    )
)
