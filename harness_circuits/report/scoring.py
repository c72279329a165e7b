"""The numbers a leaderboard ranks by, and which runs are not distinguishable from the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.accuracy_area import accuracy_interval, log_mean
from harness_circuits.evaluation.curve import (
    AREAS,
    area_statistics,
    columns,
    curve_statistics,
)
from harness_circuits.records.examples import Examples, NoExamplesError, read_examples
from harness_circuits.records.run import CurveRecord, Run
from harness_circuits.statistics.bootstrap import Interval
from harness_circuits.statistics.differences import (
    Difference,
    holm,
    paired_differences,
    unpaired_differences,
)

ALPHA = 0.05
BEST, TIED = "best", "tied"


@dataclass(frozen=True)
class Column:
    """One number of a run to rank by.

    Attributes:
        name: Column name.
        title: What people read.
        about: One sentence of definition.
        higher_is_better: Direction.
        ranking: Ranking whose curve it is taken from; None for seconds.
        digits: Decimals shown.
    """

    name: str
    title: str
    about: str
    higher_is_better: bool
    ranking: Ranking | None
    digits: int = 3


COLUMNS = (
    *(
        Column(area.name, area.title, area.about, area.higher_is_better, area.ranking)
        for area in AREAS.values()
    ),
    Column(
        "accuracy",
        "accuracy",
        "Mean accuracy of the circuits over the logarithm of the size, by |score|.",
        True,
        Ranking.ABSOLUTE,
    ),
    Column("discovery_seconds", "discovery s", "Seconds of discovery.", False, None, 1),
    Column("seconds", "seconds", "Discovery and evaluation, without loading.", False, None, 1),
    Column(
        "peak_mib",
        "peak MiB",
        "Peak memory of discovery and evaluation above what was in use before, the model included.",
        False,
        None,
        0,
    ),
)


@dataclass(frozen=True)
class Entry:
    """A run with what its artifacts add.

    Attributes:
        run: The run.
        examples: Values per example; None where there are none.
        why_not: Why there are none.
        values: By name of the column; one that the run does not have is not there.
    """

    run: Run
    examples: Examples | None
    why_not: str
    values: Mapping[str, Interval]


def make_entry(run: Run) -> Entry:
    """Look for a run's artifacts and work out all its metrics."""
    examples, why_not = None, ""
    try:
        examples = read_examples(run)
    except NoExamplesError as error:
        why_not = str(error)
    values = dict(run.areas)
    if (curve := run.curves.get(Ranking.ABSOLUTE)) is not None and len(curve.sizes) > 1:
        values["accuracy"] = _accuracy(curve, examples)
    spent = {"discovery_seconds": run.discovery_seconds, "seconds": run.seconds}
    if run.peak_bytes is not None:
        spent["peak_mib"] = run.peak_bytes / 2**20
    values |= {name: Interval(value, value, value) for name, value in spent.items()}
    return Entry(run, examples, why_not, values)


def _accuracy(curve: CurveRecord, examples: Examples | None) -> Interval:
    value = float(log_mean(curve.sizes, np.array(curve.accuracy)))
    if examples is None:
        return Interval(value, value, value)
    return accuracy_interval(curve.sizes, examples.accuracy[Ranking.ABSOLUTE].T)


def mark(entries: Sequence[Entry], column: Column) -> list[str]:
    """Which of the runs of one task on one model are best, and which may be as good.

    A run counts as `tied` with the best where their difference is not significant: paired where both
    saved values for the same examples, else by the published intervals; Holm-corrected for the
    number of runs. Without any interval only an equal value is tied.

    Returns:
        `best`, `tied` or nothing, for each run.
    """
    known = [at for at, entry in enumerate(entries) if column.name in entry.values]
    marks = [""] * len(entries)
    if not known:
        return marks
    sign = -1 if column.higher_is_better else 1
    best = min(known, key=lambda at: sign * entries[at].values[column.name].value)
    others = [at for at in known if at != best]
    p_values = [difference(entries[best], entries[at], column).p for at in others]
    adjusted = holm([0.0 if p is None else p for p in p_values])
    for at, p in zip(others, adjusted, strict=True):
        marks[at] = TIED if p > ALPHA else ""
    marks[best] = BEST
    return marks


def difference(old: Entry, new: Entry, column: Column) -> Difference:
    """Difference in one column between two runs of one task."""
    if column.ranking is not None and _paired(old, new, column.ranking):
        assert old.examples is not None and new.examples is not None
        sizes = old.run.curves[column.ranking].sizes
        sides = old.examples, new.examples
        if column.name == "accuracy":
            before, after = (side.accuracy[column.ranking] for side in sides)
            return paired_differences(before, after, lambda y: log_mean(sizes, y)[:, None])[0]
        before, after = (columns([side.curves[column.ranking]]) for side in sides)
        area = area_statistics(column.ranking, sizes)[column.name]
        return paired_differences(before, after, curve_statistics([sizes], [(0, area)]))[0]
    return unpaired_differences([old.values[column.name]], [new.values[column.name]])[0]


def _paired(old: Entry, new: Entry, ranking: Ranking) -> bool:
    return (
        old.examples is not None
        and new.examples is not None
        and old.run.evaluated_on == new.run.evaluated_on
        and old.run.metric == new.run.metric
        and old.run.curves[ranking].sizes == new.run.curves[ranking].sizes
    )
