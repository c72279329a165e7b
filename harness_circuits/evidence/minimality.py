"""minimality: are there units in the circuit that it can do without (Shi et al. 2024)?

Taking a unit e from the circuit changes faithfulness by d(e) = |f(C) - f(C less e)|. What a needless
unit does is known from inflated circuits: to C a random path of absent edges is added, from input to
logits (of nodes or neurons: one absent unit), and one of the added units is taken away again. The null
hypothesis says that d(e) is larger than at least 90% of these changes; p is the binomial probability of
no more than the count, adjusted by Holm over the units tried (the authors' code adjusts nothing). A
rejected unit is *not needed*. At most `evidence_draws` units are tried, drawn without replacement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind
from harness_circuits.evidence.shi_tests import (
    ALPHA,
    QUANTILE,
    SOURCE,
    result,
    verdict_lines,
    verdict_tables,
)
from harness_circuits.evidence.subject import Point, Subject
from harness_circuits.evidence.table import Table
from harness_circuits.evidence.text import share
from harness_circuits.statistics.binomial import at_most, wilson
from harness_circuits.statistics.differences import holm

MOST_TRIES = 100  # paths that add nothing, before a circuit is taken to have no room for one
MOST_NAMES = 6  # of needless units in a verdict
_DRAWS = 2  # this kind's random numbers


def minimality(subject: Subject) -> dict[str, Any]:
    """The test for every circuit."""
    return {
        "quantile": QUANTILE,
        "alpha": ALPHA,
        "circuits": [_one(subject, point) for point in subject.points],
    }


def _one(subject: Subject, point: Point) -> dict[str, Any]:
    circuit, generator = point.circuit, subject.generator(_DRAWS, point)
    units = np.flatnonzero(circuit.kept)
    n_tried = min(len(units), subject.draws)
    tried = np.sort(generator.choice(units, n_tried, replace=False))
    inflated = [_inflated(circuit, generator) for _ in range(subject.draws)]
    pairs = [pair for pair in inflated if pair is not None]
    less = [changed(circuit, [unit], kept=False) for unit in tried]
    larger, smaller = ([pair[side] for pair in pairs] for side in (0, 1))
    values = subject.values([circuit, *less, *larger, *smaller])  # what pairs need is run once
    ends = np.cumsum([1, len(less), len(larger)])
    own, each, with_path, without_unit = np.split(subject.faithfulness(values), ends)
    change = abs(own - each)
    reference = abs(with_path - without_unit)
    adjusted = holm(unit_p_values(change, reference))
    needless = [unit for unit, own in zip(tried, adjusted, strict=True) if own <= ALPHA]
    sampled = n_tried < len(units)
    low, high = wilson(len(needless) / n_tried, n_tried) if sampled else (None, None)
    names = [_name(circuit, int(unit)) for unit in needless]
    facts = {"tried": n_tried, "inflated": len(pairs), "not_needed": len(names), "units": names}
    of_tried = {"share_not_needed": len(names) / n_tried, "ci95_low": low, "ci95_high": high}
    return result(point, min(adjusted), bool(names), **facts, **of_tried)


def unit_p_values(
    change: Float[np.ndarray, "unit"], reference: Float[np.ndarray, "addition"]
) -> list[float]:
    """P-values of units whose removal is to matter more than that of additions, before Holm's.

    Args:
        change: What taking each unit away changes.
        reference: What taking an added unit away changes, of each inflated circuit.

    >>> unit_p_values(np.array([5.0, 0.0]), np.arange(4.0))[0]
    1.0
    """
    n = len(reference)
    return [at_most(float((own > reference).sum()), n, QUANTILE) for own in change]


def changed(circuit: Circuit, units: Any, *, kept: bool) -> Circuit:
    """A circuit with units, by flat index, added or taken away."""
    flat = circuit.kept.copy()
    flat.ravel()[np.asarray(units, dtype=int)] = kept
    return Circuit(circuit.space, flat)


def _inflated(circuit: Circuit, generator: np.random.Generator) -> tuple[Circuit, Circuit] | None:
    """A circuit with a random path more, and the same without one of its added units."""
    for _ in range(MOST_TRIES):
        added = added_units(circuit, generator)
        if len(added):
            larger = changed(circuit, added, kept=True)
            return larger, changed(larger, [generator.choice(added)], kept=False)
    return None


def added_units(circuit: Circuit, generator: np.random.Generator) -> Int[np.ndarray, "unit"]:
    """Absent units that a random path needs: edges back from the logits to the input; else one unit."""
    space = circuit.space
    absent = space.real & ~circuit.kept
    if space.level != "edge":
        free = np.flatnonzero(absent)
        return free if not len(free) else generator.choice(free, 1)
    graph, path, node = space.graph, [], space.graph.n_src  # the logits stand behind all sources
    owner = graph.destination_owner
    while node != 0:
        into = np.flatnonzero(owner == node)
        block = absent[:, into]
        edges = np.argwhere(block if block.any() else graph.edge_mask[:, into])
        source, at = edges[generator.integers(len(edges))]
        if absent[source, into[at]]:
            path.append(int(source) * graph.n_dst + int(into[at]))
        node = int(source)
    return np.array(path, dtype=int)


def _name(circuit: Circuit, unit: int) -> str:
    space = circuit.space
    return space.unit_name(*(int(at) for at in np.unravel_index(unit, space.shape)))


def _lines(found: Mapping[str, Any]) -> list[str]:
    def text(one: Mapping[str, Any]) -> str:
        what = share(one, "share_not_needed")
        return f"{what} of the {one['tried']} units tried are not needed"

    return verdict_lines("minimality", found, text)


def _tables(found: Mapping[str, Any]) -> list[Table]:
    cells = {
        "units tried": lambda one: f"{one['tried']:,}",
        "not needed, of these": lambda one: share(one, "share_not_needed"),
    }
    return verdict_tables(found, cells, _verdict)


def _verdict(one: Mapping[str, Any]) -> str:
    if not one["rejected"]:
        return "no unit tried is seen to be needless"
    more = len(one["units"]) - MOST_NAMES
    names = ", ".join(one["units"][:MOST_NAMES])
    return f"not needed: {names}" + (f" and {more} more" if more > 0 else "")


EVIDENCE.register("minimality")(
    Kind(
        function=minimality,
        lines=_lines,
        tables=_tables,
        cost=lambda plan: Cost(circuits=3 * plan.draws * plan.points),
        intervals="the circuit's units, where not all were tried (Wilson), with the pairs as they are",
        description="test: no unit of the circuit does less than random additions to it",
        source=SOURCE,
    )
)
