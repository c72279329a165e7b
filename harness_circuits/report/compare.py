"""Old runs against new ones: which numbers changed, and which got worse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness_circuits.bootstrap import Interval
from harness_circuits.errors import OptionError
from harness_circuits.records import CurveRecord, Run
from harness_circuits.report.examples import Examples, NoExamplesError, read_examples
from harness_circuits.report.statistics import (
    AREAS,
    Difference,
    Statistic,
    area_statistics,
    holm,
    iterations,
    paired_difference,
    point_statistic,
    unpaired_difference,
)

ALPHA = 0.05
HIGHER_IS_BETTER = {"signed": True, "absolute": False}


@dataclass(frozen=True)
class Row:
    """One number of one run, before and after.

    Attributes:
        task: Task.
        model: Model.
        metric: `cpr`, `cmd`, `cmd_log`, `f at 0.05` (signed ranking), `|1-f| at 0.05` (absolute).
        old: Old value.
        new: New value.
        difference: New minus old, with interval and p-value.
        adjusted_p: P-value after Holm's correction over all rows; None where it is unknown.
        higher_is_better: Direction.
        paired: Whether the same examples were resampled for both.
        verdict: `better`, `worse`, `same` (no significant change beyond the tolerance), or
            `unknown` (no interval to judge by).
    """

    task: str
    model: str
    metric: str
    old: float
    new: float
    difference: Difference
    higher_is_better: bool
    paired: bool
    adjusted_p: float | None = None
    verdict: str = "unknown"


@dataclass(frozen=True)
class Comparison:
    """All rows, and what could not be compared or not be paired.

    Attributes:
        rows: In order of models and tasks.
        missing: Old runs without a new counterpart.
        added: New runs without an old counterpart.
        notes: Why runs are compared without pairing, and which repetitions were left out.
    """

    rows: tuple[Row, ...]
    missing: tuple[Run, ...]
    added: tuple[Run, ...]
    notes: tuple[str, ...]

    def with_verdict(self, verdict: str) -> tuple[Row, ...]:
        """The rows with a verdict."""
        return tuple(row for row in self.rows if row.verdict == verdict)


def compare(old: Sequence[Run], new: Sequence[Run], tolerance: float = 0.0) -> Comparison:
    """Compare runs of the same task on the same model.

    Runs of equal settings belong together; what remains is matched where only one old and one new
    run of a task on a model are left. Of repetitions the newest counts.

    Args:
        old: Old runs.
        new: New runs.
        tolerance: Changes up to this size are never called better or worse.

    Raises:
        OptionError: No old run has a new counterpart, or the tolerance is negative.
    """
    if not tolerance >= 0:
        raise OptionError(f"--tolerance is at least 0, got {tolerance}.")
    notes: list[str] = []
    before, after = newest(old, notes), newest(new, notes)
    pairs, missing, added = match(before, after)
    if not pairs:
        raise OptionError(
            f"Nothing to compare: none of {len(before)} old runs has its task and model among "
            f"{len(after)} new ones ({_labels(before)} against {_labels(after)})."
        )
    iters = iterations(sum(_n_rows(a) for a, _ in pairs))
    rows = [row for a, b in pairs for row in _compare_runs(a, b, iters, notes)]
    return Comparison(_judge(rows, tolerance), missing, added, tuple(notes))


def newest(runs: Sequence[Run], notes: list[str]) -> list[Run]:
    """The newest of repetitions; a note names the others."""
    groups: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.model, run.task, run.configuration].append(run)
    kept = []
    for group in groups.values():
        *older, last = sorted(group, key=lambda run: run.date)
        kept.append(last)
        notes += [f"{run.file}: {run.label} was repeated by {last.file}" for run in older]
    return kept


def match(
    old: Sequence[Run], new: Sequence[Run]
) -> tuple[list[tuple[Run, Run]], tuple[Run, ...], tuple[Run, ...]]:
    """Pairs of runs that belong together, and the old and new runs left over."""
    pairs: list[tuple[Run, Run]] = []
    left: tuple[list[Run], list[Run]] = (list(old), list(new))
    for settings in (True, False):
        groups: dict[tuple[str, ...], tuple[list[Run], list[Run]]] = defaultdict(lambda: ([], []))
        for side in (0, 1):
            for run in left[side]:
                key = (run.model, run.task, *([run.configuration] if settings else []))
                groups[key][side].append(run)
        found = [(a[0], b[0]) for a, b in groups.values() if len(a) == len(b) == 1]
        pairs += found
        taken = {id(run) for pair in found for run in pair}
        left = tuple([run for run in side if id(run) not in taken] for side in left)  # type: ignore[assignment]
    return pairs, tuple(left[0]), tuple(left[1])


def _compare_runs(old: Run, new: Run, iters: int, notes: list[str]) -> list[Row]:
    if changes := _changes(old, new):
        notes.append(f"{old.label}: the runs differ in {changes}")
    examples = _same_examples(old, new, notes)
    rows: list[Row] = []
    for ranking in _rankings(old, new, notes):
        before, after = _numbers(old, ranking), _numbers(new, ranking)
        names = [name for name in before if name in after]
        if examples is None:
            differences = [unpaired_difference(before[name], after[name]) for name in names]
        else:
            a, b = (side.curves[ranking] for side in examples)
            statistics = _statistics(old.curves[ranking], ranking)
            differences = paired_difference(
                a.faithfulness, b.faithfulness, len(a.full), [statistics[n] for n in names], iters
            )
        rows += [
            Row(
                task=old.task,
                model=old.model,
                metric=name,
                old=before[name].value,
                new=after[name].value,
                difference=difference,
                higher_is_better=HIGHER_IS_BETTER[ranking],
                paired=examples is not None,
            )
            for name, difference in zip(names, differences, strict=True)
        ]
    return rows


def _changes(old: Run, new: Run) -> str:
    """Settings and details of the model that differ, for a note."""
    before = {**old.model_details, **old.settings}
    after = {**new.model_details, **new.settings}
    names = sorted(before.keys() | after.keys())
    return ", ".join(
        f"{name} ({before.get(name)!r:.60} -> {after.get(name)!r:.60})"
        for name in names
        if before.get(name) != after.get(name)
    )


def _same_examples(old: Run, new: Run, notes: list[str]) -> tuple[Examples, Examples] | None:
    """Values per example of both runs, where they are there and for the same pairs."""
    try:
        if old.evaluation_pairs != new.evaluation_pairs:
            raise NoExamplesError("the runs were evaluated on different pairs")
        if old.metric != new.metric:
            raise NoExamplesError(f"their metrics differ ({old.metric}, {new.metric})")
        if any(a.sizes != b.sizes for a, b in _shared_curves(old, new)):
            raise NoExamplesError("their sizes differ")
        return read_examples(old), read_examples(new)
    except NoExamplesError as error:
        notes.append(
            f"{old.label}: compared by the published intervals, as if the runs were independent, "
            f"because {error}"
        )
        return None


def _shared_curves(old: Run, new: Run) -> list[tuple[CurveRecord, CurveRecord]]:
    return [(old.curves[name], new.curves[name]) for name in old.curves if name in new.curves]


def _rankings(old: Run, new: Run, notes: list[str]) -> list[str]:
    for ranking in sorted(set(old.curves) ^ set(new.curves)):
        notes.append(f"{old.label}: only one of the runs has the {ranking} ranking")
    return [ranking for ranking in old.curves if ranking in new.curves]


def _numbers(run: Run, ranking: str) -> dict[str, Interval]:
    """Published areas and points of one ranking, by the names of the rows."""
    curve = run.curves[ranking]
    numbers = {name: run.areas[name] for name in AREAS[ranking] if name in run.areas}
    for size, point in zip(curve.sizes, curve.points, strict=True):
        if size < 1:  # the whole model's faithfulness is 1 by definition
            numbers[_point_name(ranking, size)] = point if ranking == "signed" else _distance(point)
    return numbers


def _statistics(curve: CurveRecord, ranking: str) -> dict[str, Statistic]:
    points = {
        _point_name(ranking, size): point_statistic(ranking, at)
        for at, size in enumerate(curve.sizes)
    }
    return area_statistics(ranking, curve.sizes) | points


def _n_rows(run: Run) -> int:
    return sum(len(_numbers(run, ranking)) for ranking in run.curves)


def _point_name(ranking: str, size: float) -> str:
    return f"{'f' if ranking == 'signed' else '|1-f|'} at {size:g}"


def _distance(point: Interval) -> Interval:
    """|1 - f| of a point; its interval keeps the width, which is that of the estimate's error."""
    value, half = abs(1 - point.value), (point.high - point.low) / 2
    return Interval(value, value - half, value + half)


def _judge(rows: Sequence[Row], tolerance: float) -> tuple[Row, ...]:
    known = [row for row in rows if row.difference.p is not None]
    adjusted = holm([row.difference.p for row in known if row.difference.p is not None])
    p_values = dict(zip(map(id, known), adjusted, strict=True))
    return tuple(
        replace(row, adjusted_p=p, verdict=_verdict(row, p, tolerance))
        for row in rows
        for p in [p_values.get(id(row))]
    )


def _verdict(row: Row, p: float | None, tolerance: float) -> str:
    change = row.difference.estimate.value
    if abs(change) <= tolerance or (p is not None and p > ALPHA):
        return "same"
    if p is None:
        return "unknown"
    return "better" if (change > 0) == row.higher_is_better else "worse"


def _labels(runs: Sequence[Run], most: int = 3) -> str:
    names = [run.label for run in runs[:most]]
    return ", ".join(names) + (" ..." if len(runs) > most else "")
