"""rephrasing: is the same circuit found on other phrasings of the task?

Circuits are discovered anew on the training pairs of each template, and compared: overlap corrected for
chance, and faithfulness of each template's circuit on the evaluation pairs of each. Fewer pairs alone
make circuits differ, so as many groups of as many pairs of mixed templates are discovered on too: what
templates overlap less than these is due to the phrasing. (Meloux et al. 2025, arXiv 2510.00845.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.overlap import corrected_jaccard
from harness_circuits.errors import OptionError
from harness_circuits.evidence.kinds import EVIDENCE, Cost, Kind, Plan
from harness_circuits.evidence.subject import Point, Subject
from harness_circuits.evidence.table import Cell, Table, by_circuit, circuit_title
from harness_circuits.evidence.text import interval, named_interval
from harness_circuits.statistics.jackknife import mean_over_groups, off_diagonal, on_diagonal

MOST_TEMPLATES = 8  # those with the most training pairs
LEAST_PAIRS = 2  # of a template, in training and in evaluation


def rephrasing(subject: Subject) -> dict[str, Any]:
    """Overlap and cross-template faithfulness of circuits found on single templates."""
    training, evaluation = subject.extras["templates"]
    names, left_out = chosen_templates(training, evaluation)
    base = {"templates": names, "left_out": left_out}
    if len(names) < 2 or not subject.points:
        return {**base, "circuits": []}
    groups = [np.flatnonzero([name == own for own in training]) for name in names]
    discover = subject.extras["discover"]
    by_template = [discover(group) for group in groups]
    mixed = [discover(group) for group in mixed_groups(groups, subject.seed)]
    rows = [np.flatnonzero([name == own for own in evaluation]) for name in names]
    found = []
    for point in subject.points:
        at = subject.sizes.index(point.size)
        own = [circuits[point.ranking][at] for circuits in by_template]
        others = [circuits[point.ranking][at] for circuits in mixed]
        found.append(_one(subject, point, own, others, rows))
    return {**base, "pairs": [len(group) for group in groups], "circuits": found}


def chosen_templates(
    training: Sequence[str | None], evaluation: Sequence[str | None]
) -> tuple[list[str], int]:
    """Templates with enough pairs, those with the most first; and how many others there are."""
    counts, tested = Counter(training), Counter(evaluation)
    counts.pop(None, None)
    able = [
        name
        for name, n in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
        if name is not None and n >= LEAST_PAIRS and tested[name] >= LEAST_PAIRS
    ]
    return able[:MOST_TEMPLATES], len(counts) - len(able[:MOST_TEMPLATES])


def one_phrasing(task: str) -> OptionError:
    """The error of a task all of whose pairs are put in the same words."""
    return OptionError(
        f"evidence=rephrasing: all pairs of {task} are of one phrasing. Leave it out, or take a task "
        "whose pairs say theirs as `template` (docs/evidence.md names them)."
    )


def check_templates(
    training: Sequence[str | None], evaluation: Sequence[str | None], task: str
) -> None:
    """Refuse pairs that are not of two templates.

    Raises:
        OptionError: They are not.
    """
    known = {name for name in training if name is not None}
    able, _ = chosen_templates(training, evaluation)
    if len(able) > 1:
        return
    if len(known) < 2:
        raise (
            one_phrasing(task)
            if len(known) == 1
            else OptionError(
                f"evidence=rephrasing: the pairs of {task} do not say which phrasing they are of. Give "
                "them a `template`, a word or number each, or leave it out."
            )
        )
    raise OptionError(
        f"evidence=rephrasing takes two templates with {LEAST_PAIRS} training and {LEAST_PAIRS} "
        f"evaluation pairs each; of the {len(known)} of {task} {len(able)} has so many among "
        f"{len(training)} and {len(evaluation)} pairs. Use more pairs, or leave it out."
    )


def mixed_groups(
    groups: Sequence[Int[np.ndarray, "pair"]], seed: int
) -> list[Int[np.ndarray, "pair"]]:
    """The pairs of all groups, dealt out anew into groups of the same sizes."""
    everything = np.random.default_rng(seed).permutation(np.concatenate(groups))
    return np.split(everything, np.cumsum([len(group) for group in groups])[:-1])


def _one(
    subject: Subject,
    point: Point,
    own: Sequence[Circuit],
    mixed: Sequence[Circuit],
    rows: Sequence[Int[np.ndarray, "example"]],
) -> dict[str, Any]:
    """Everything about the circuits of one ranking and size."""
    values = subject.values(own)
    f, low, high = (np.empty((len(own), len(own))) for _ in range(3))
    for on, some in enumerate(rows):
        above = values[:, some] - subject.empty[some]
        found = subject.ratios(above, subject.gap[some])
        f[:, on], low[:, on], high[:, on] = found.value, found.low, found.high
    overlaps = _overlaps(own)
    return {
        "ranking": str(point.ranking),
        "size": point.size,
        "overlap": overlaps.tolist(),
        **mean_over_groups("mean_overlap", overlaps, off_diagonal, most=1.0),
        **mean_over_groups("mean_overlap_mixed", _overlaps(mixed), off_diagonal, most=1.0),
        "overlap_with_circuit": [corrected_jaccard(circuit, point.circuit) for circuit in own],
        "faithfulness": f.tolist(),
        "ci95_low": _or_none(low),
        "ci95_high": _or_none(high),
        **mean_over_groups("mean_on_own", f, on_diagonal),
        **mean_over_groups("mean_on_others", f, off_diagonal),
    }


def _overlaps(circuits: Sequence[Circuit]) -> Float[np.ndarray, "circuit circuit"]:
    return np.array([[corrected_jaccard(a, b) for b in circuits] for a in circuits])


def _or_none(ends: np.ndarray) -> list[list[float | None]]:
    return [[float(end) if np.isfinite(end) else None for end in row] for row in ends]


def _lines(found: Mapping[str, Any]) -> list[str]:
    if not found["circuits"] and len(found["templates"]) > 1:
        return ["rephrasing: there is no circuit but the empty one and the whole model"]
    if not found["circuits"]:
        return [
            f"rephrasing: left out, as fewer than two templates have {LEAST_PAIRS} training and "
            "evaluation pairs (pairs say theirs as `template`)"
        ]
    n, pairs = len(found["templates"]), found["pairs"]
    head = (
        f"rephrasing: {n} templates of {min(pairs)} to {max(pairs)} training pairs, {found['left_out']} "
        "left out"
    )
    return [
        head,
        *(
            f"rephrasing, by {one['ranking']} at {one['size']:g}: overlap of templates "
            f"{named_interval(one, 'mean_overlap')}, of as many mixed pairs "
            f"{named_interval(one, 'mean_overlap_mixed')}; f on their own template "
            f"{named_interval(one, 'mean_on_own')}, on others {named_interval(one, 'mean_on_others')}"
            for one in found["circuits"]
        ),
    ]


def _tables(found: Mapping[str, Any]) -> list[Table]:
    means = {
        "overlap of templates": "mean_overlap",
        "overlap of mixed pairs": "mean_overlap_mixed",
        "f on their own template": "mean_on_own",
        "f on others": "mean_on_others",
    }
    cells = {title: _cell(name) for title, name in means.items()}
    further = []
    for one in found["circuits"]:
        names, where = found["templates"], circuit_title(one)
        rows = [
            [name, *(f"{x:z.2f}" for x in row), f"{own:z.2f}"]
            for name, row, own in zip(
                names, one["overlap"], one["overlap_with_circuit"], strict=True
            )
        ]
        columns = ("circuit of", *names, "of all pairs")
        further.append(Table(columns, rows, f"overlaps, {where}"))
        ends = zip(one["faithfulness"], one["ci95_low"], one["ci95_high"], strict=True)
        rows = [
            [name, *(interval(*cell) for cell in zip(*row, strict=True))]
            for name, row in zip(names, ends, strict=True)
        ]
        further.append(Table(("circuit of", *names), rows, f"f on each template, {where}"))
    return [by_circuit(found["circuits"], cells), *further]


def _cell(name: str) -> Cell:
    return lambda one: named_interval(one, name)


def _cost(plan: Plan) -> Cost:
    able = plan.templates > 1
    return Cost(plan.templates * plan.points, discoveries=2) if able else Cost()


EVIDENCE.register("rephrasing")(
    Kind(
        function=rephrasing,
        lines=_lines,
        tables=_tables,
        cost=_cost,
        extras=("templates", "discover"),
        discovers=True,
        intervals="evaluation pairs for f of one circuit, three templates or more for means (jackknife)",
        no_interval="overlaps of two circuits (it would take both discovered many times)",
        description="circuits of single templates: overlap, and faithfulness on one another",
        source="Meloux et al. 2025, arXiv 2510.00845",
    )
)
