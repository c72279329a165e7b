"""Old runs against new ones: which numbers changed, and which got worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.curve import (
    Statistic,
    area_statistics,
    areas_of,
    columns,
    curve_statistics,
    point_statistic,
)
from harness_circuits.options.fields import SETTINGS
from harness_circuits.records.examples import Examples, NoExamplesError, read_examples
from harness_circuits.records.run import CurveRecord, Run, tell_apart
from harness_circuits.report.comparison.matching import changes, match, newest
from harness_circuits.report.comparison.thresholds import NO_THRESHOLDS, Thresholds
from harness_circuits.statistics.bootstrap import Interval
from harness_circuits.statistics.differences import (
    Difference,
    iterations,
    paired_differences,
    unpaired_differences,
)
from harness_circuits.statistics.two_samples import two_sample_differences

ALPHA = 0.05
MIN_PAIRS = 12  # fewer give no verdict unless asked


@dataclass(frozen=True)
class Row:
    """One number of one run, before and after.

    Attributes:
        task: Task.
        model: Model.
        method: Method with its options, and what else was not left at its default.
        metric: `cpr`, `cmd`, `cmd_log`, `f at 0.05` (signed ranking), `|1-f| at 0.05` (absolute).
        old: Old value.
        new: New value.
        difference: New minus old, with interval and p-value.
        adjusted_p: P-value adjusted for the rows of the cell and for the number of cells; None where
            it is unknown.
        higher_is_better: Direction.
        paired: Whether values of the same examples were exchanged between both.
        pairs: Evaluation pairs of the run that has fewer.
        verdict: `better`, `worse`, `same` (no significant change beyond the threshold), or
            `unknown` (no interval to judge by, or too few pairs).
    """

    task: str
    model: str
    method: str
    metric: str
    old: float
    new: float
    difference: Difference
    higher_is_better: bool
    paired: bool
    pairs: int
    adjusted_p: float | None = None
    verdict: str = "unknown"


@dataclass(frozen=True)
class Comparison:
    """All rows, and what could not be compared or not be paired.

    Attributes:
        rows: In order of models and tasks.
        missing: Old runs without a new counterpart.
        added: New runs without an old counterpart.
        changed: Runs that are not compared because their configurations differ, and in what.
        too_few: Runs without a verdict because they have too few pairs.
        notes: Why runs are compared without pairing, and which repetitions were left out.
    """

    rows: tuple[Row, ...]
    missing: tuple[Run, ...]
    added: tuple[Run, ...]
    changed: tuple[str, ...]
    too_few: tuple[str, ...]
    notes: tuple[str, ...]

    def with_verdict(self, verdict: str) -> tuple[Row, ...]:
        """The rows with a verdict."""
        return tuple(row for row in self.rows if row.verdict == verdict)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """A line for each old run that has no rows, or rows without a verdict."""
        lost = (f"only among the old results: {run.label}" for run in self.missing)
        return (*lost, *self.changed, *self.too_few)


def compare(
    old: Sequence[Run],
    new: Sequence[Run],
    thresholds: Thresholds = NO_THRESHOLDS,
    *,
    across_settings: bool = False,
    min_pairs: int = MIN_PAIRS,
) -> Comparison:
    """Compare runs of the same task on the same model.

    Runs of equal settings belong together, whatever their seeds and numbers of resamples. Of
    repetitions over the same pairs the newest counts. Models of one name but other weights are
    different models: their runs are named, and compared only `across_settings`.

    Args:
        old: Old runs.
        new: New runs.
        thresholds: Changes up to these sizes are never called better or worse.
        across_settings: Where one old and one new run of a task on a model are left, compare them
            although their settings differ, as to compare two methods.
        min_pairs: Runs over fewer pairs get no verdict.
    """
    notes: list[str] = []
    runs = tell_apart([*old, *new])
    old, new = runs[: len(old)], runs[len(old) :]
    found = match(newest(old, notes), newest(new, notes))
    pairs = list(found.same)
    changed: list[str] = []
    for a, b in found.changed:
        difference = f"{a.label}: the runs differ in {changes(a, b)}"
        (notes if across_settings else changed).append(difference)
        pairs += [(a, b)] if across_settings else []
    cells = len(pairs)
    rows: list[Row] = []
    too_few: list[str] = []
    for a, b in pairs:
        n = min(a.n_evaluation, b.n_evaluation)
        enough = n >= min_pairs
        if not enough:
            too_few.append(
                f"{a.label}: {n} pairs are too few for a verdict (--min-pairs {min_pairs})"
            )
        found_rows = _compare_runs(a, b, iterations(cells), notes)
        rows += [_judge(row, thresholds, cells, enough=enough) for row in found_rows]
    return Comparison(
        tuple(rows), found.missing, found.added, tuple(changed), tuple(too_few), tuple(notes)
    )


def method_text(run: Run) -> str:
    """What ran, told apart from other runs of the task: `EAP-IG-inputs (ig_steps=5), node`."""
    settings = run.settings
    options = {**settings.get("method_options", {}), **settings.get("selection_options", {})}
    text = str(settings["method"])
    if options:
        text += f" ({', '.join(f'{name}={value}' for name, value in sorted(options.items()))})"
    others = [
        str(settings[name])
        for name, option in SETTINGS.items()
        if option.names_the_run and settings.get(name, option.default) != option.default
    ]
    return ", ".join([text, *others])


def _compare_runs(old: Run, new: Run, iters: int, notes: list[str]) -> list[Row]:
    examples, paired = _examples(old, new, notes)
    rankings = _rankings(old, new, notes)
    before, after = (
        {
            (ranking, name): value
            for ranking in rankings
            for name, value in _numbers(run, ranking).items()
        }
        for run in (old, new)
    )
    names = [name for name in before if name in after]
    if examples is None:
        differences = unpaired_differences([before[n] for n in names], [after[n] for n in names])
    else:
        a, b = (columns([side.curves[r] for r in rankings]) for side in examples)
        statistics = curve_statistics(
            [old.curves[r].sizes for r in rankings],
            [(rankings.index(r), _statistics(old.curves[r], r)[name]) for r, name in names],
        )
        test = paired_differences if paired else two_sample_differences
        differences = test(a, b, statistics, iters)
    return [
        Row(
            task=old.task,
            model=old.model,
            method=method_text(old),
            metric=name,
            old=before[ranking, name].value,
            new=after[ranking, name].value,
            difference=difference,
            higher_is_better=ranking.higher_is_better,
            paired=paired,
            pairs=min(old.n_evaluation, new.n_evaluation),
        )
        for (ranking, name), difference in zip(names, differences, strict=True)
    ]


def _examples(
    old: Run, new: Run, notes: list[str]
) -> tuple[tuple[Examples, Examples] | None, bool]:
    """Values per example of both runs, where they are there, and whether they are of the same pairs."""
    paired = old.evaluated_on == new.evaluated_on
    why = "the runs were evaluated on different pairs"
    try:
        if old.metric != new.metric:
            raise NoExamplesError(f"their metrics differ ({old.metric}, {new.metric})")
        if any(a.sizes != b.sizes for a, b in _shared_curves(old, new)):
            raise NoExamplesError("their sizes differ")
        found = read_examples(old), read_examples(new)
    except NoExamplesError as error:
        notes.append(
            f"{old.label}: compared by the published intervals, as if the runs were independent, "
            f"because {error}" + ("" if paired else f", and {why}")
        )
        return None, False
    if not paired:
        notes.append(
            f"{old.label}: compared as two samples of pairs, and not pair by pair, because {why}"
        )
    return found, paired


def _shared_curves(old: Run, new: Run) -> list[tuple[CurveRecord, CurveRecord]]:
    return [(old.curves[name], new.curves[name]) for name in old.curves if name in new.curves]


def _rankings(old: Run, new: Run, notes: list[str]) -> list[Ranking]:
    for ranking in sorted(set(old.curves) ^ set(new.curves)):
        notes.append(f"{old.label}: only one of the runs has the {ranking} ranking")
    return [ranking for ranking in old.curves if ranking in new.curves]


def _numbers(run: Run, ranking: Ranking) -> dict[str, Interval]:
    """Published areas and points of one ranking, by the names of the rows."""
    curve = run.curves[ranking]
    numbers = {name: run.areas[name] for name in areas_of(ranking) if name in run.areas}
    for size, point in zip(curve.sizes, curve.points, strict=True):
        if size < 1:  # the whole model's faithfulness is 1 by definition
            numbers[_point_name(ranking, size)] = judged_interval(ranking, point)
    return numbers


def _statistics(curve: CurveRecord, ranking: Ranking) -> dict[str, Statistic]:
    points = {
        _point_name(ranking, size): point_statistic(ranking, at)
        for at, size in enumerate(curve.sizes)
    }
    return area_statistics(ranking, curve.sizes) | points


def _point_name(ranking: Ranking, size: float) -> str:
    return f"{ranking.judged_by} at {size:g}"


def judged_interval(ranking: Ranking, point: Interval) -> Interval:
    """A point as its ranking judges it; |1 - f| keeps the width, which is that of the error of f."""
    if ranking is Ranking.SIGNED:
        return point
    value, half = abs(1 - point.value), (point.high - point.low) / 2
    return Interval(value, value - half, value + half)


def _judge(row: Row, thresholds: Thresholds, cells: int, *, enough: bool) -> Row:
    """The verdict, after Bonferroni's correction for the number of cells."""
    p = row.difference.adjusted_p
    p = None if p is None else min(1.0, p * cells)
    verdict = _verdict(row, p, thresholds.of(row.metric)) if enough else "unknown"
    return replace(row, adjusted_p=p, verdict=verdict)


def _verdict(row: Row, p: float | None, threshold: float) -> str:
    change = row.difference.estimate.value
    if abs(change) <= threshold or (p is not None and p > ALPHA):
        return "same"
    if p is None:
        return "unknown"
    return "better" if (change > 0) == row.higher_is_better else "worse"
