"""What a run found, in a few lines: a row per metric of one task, a row per task of several.

The metrics that tasks are read by, each with its 95% interval; all others are in the results file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import size_name
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.evaluation.summary import ACCURACY, SHARE_ABOVE
from harness_circuits.records.whole_model import behaviour_of
from harness_circuits.statistics.ratio import student_quantile

BEHAVIOUR = "behaviour"
BESIDE_CPR = tuple(f"{name}{Ranking.SIGNED.suffix}" for name in (ACCURACY, SHARE_ABOVE))
AGREEMENT = ("auroc", "auprc", "recall@true_size", "mib_auroc")
ARROWS = {True: "↑", False: "↓", None: " "}


@dataclass(frozen=True)
class Row:
    """One metric of one task.

    Attributes:
        name: The metric's name in the results.
        value: Its value.
        low: Lower end of its 95% interval; None where there is none.
        high: Upper end.
        better: Whether higher is better; None where neither is.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    better: bool | None = None

    @property
    def interval(self) -> str:
        """The interval as text; empty where there is none."""
        return "" if self.low is None else f"{self.low:z.3f} to {self.high:z.3f}"

    @property
    def half(self) -> str:
        """Value and half the interval's length, as text."""
        if self.low is None or self.high is None:
            return _short(self.value)
        return f"{_short(self.value)} ±{_short((self.high - self.low) / 2)}"


def _short(value: float) -> str:
    """A number to three decimals; one that noise has made huge by its first digits."""
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.1e}"


def short_table(results: Mapping[str, Any], tasks: Sequence[str]) -> str:
    """A table of some circuit tasks.

    Args:
        results: What lm-eval returned for `--model circuit`.
        tasks: Names of circuit tasks that were run, at least one.
    """
    if len(tasks) == 1:
        return _metrics(tasks[0], task_rows(results, tasks[0], BESIDE_CPR))
    return side_by_side({task: task_rows(results, task) for task in tasks})


def task_rows(results: Mapping[str, Any], task: str, beside_cpr: Sequence[str] = ()) -> list[Row]:
    """The metrics of one task, in order.

    Args:
        results: What lm-eval returned for `--model circuit`.
        task: The task.
        beside_cpr: What is told behind CPR, where a run has that.
    """
    found, facts = results["results"][task], results["config"]["circuit"]["tasks"][task]
    better = results.get("higher_is_better", {}).get(task, {})
    rows = [_accuracy(found, facts), _behaviour(found, facts)]
    for area in AREAS:
        for name in (area, *(beside_cpr if area == "cpr" else ())):
            if f"{name},none" in found:
                low, high = (found[f"{name}_ci95_{end},none"] for end in ("low", "high"))
                rows.append(Row(name, found[f"{name},none"], low, high, better.get(name)))
    if len(rows) == 2:
        rows += _points(facts["curves"])
    rows += [Row(x, found[f"{x},none"], better=True) for x in AGREEMENT if f"{x},none" in found]
    return rows


def _accuracy(found: Mapping[str, Any], facts: Mapping[str, Any]) -> Row:
    """Accuracy of the whole model, with Wilson's interval."""
    accuracy = facts["accuracy"]
    return Row("acc", found["acc,none"], accuracy["low"], accuracy["high"], True)


def _behaviour(found: Mapping[str, Any], facts: Mapping[str, Any]) -> Row:
    """What any model of the harness reports beside accuracy, with Student's interval."""
    name = behaviour_of(facts["metric"])
    name = name if f"{name},none" in found else behaviour_of("")
    value, error = found[f"{name},none"], found.get(f"{name}_stderr,none")
    if not isinstance(error, (int, float)):
        return Row(name, value, better=True)
    half = student_quantile(facts["n_evaluation"]) * error
    return Row(name, value, value - half, value + half, True)


def _points(curves: Mapping[str, Any]) -> list[Row]:
    """Faithfulness, where a run has one size and so no area."""
    rows = []
    for ranking, curve in curves.items():
        points = zip(curve["faithfulness"], curve["ci95_low"], curve["ci95_high"], strict=True)
        for size, point in zip(curve["sizes"], points, strict=True):
            rows.append(Row(f"faithfulness{Ranking(ranking).suffix}@{size_name(size)}", *point))
    return rows


def _metrics(task: str, rows: Sequence[Row]) -> str:
    """Markdown, as lm-eval's tables are."""
    cells = [(row.name, ARROWS[row.better], f"{row.value:z.3f}", row.interval) for row in rows]
    head = (task, "", "value", "95% interval")
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    marks = ("<", "^", ">", "<")  # how columns are set
    lines = [
        "|" + "|".join(f"{x:{m}{w}}" for x, m, w in zip(row, marks, widths, strict=True)) + "|"
        for row in (head, *cells)
    ]
    ends = ("-", "-", ":", "-")
    rule = "|".join("-" * (w - 1) + end for w, end in zip(widths, ends, strict=True))
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def side_by_side(rows: Mapping[str, Sequence[Row]]) -> str:
    """A row per task, or whatever else has metrics, at least one; behaviours share a column."""
    behaviours = {behaviour_of(""), behaviour_of("prob_diff")}
    cells: dict[str, dict[str, Row]] = {
        task: {BEHAVIOUR if row.name in behaviours else row.name: row for row in own}
        for task, own in rows.items()
    }
    heads = {name: ARROWS[row.better] for own in cells.values() for name, row in own.items()}
    lines = [[f"{name} {heads[name]}" for name in heads]]
    lines += [[own[name].half if name in own else "" for name in heads] for own in cells.values()]
    widths = [max(16, 2 + max(map(len, column))) for column in zip(*lines, strict=True)]
    names = ["(±: half a 95% interval)", *cells]
    first = max(map(len, names)) + 2
    table = [
        f"{name:<{first}}{''.join(f'{x:>{w}}' for x, w in zip(line, widths, strict=True))}".rstrip()
        for name, line in zip(names, lines, strict=True)
    ]
    kinds = sorted({own[BEHAVIOUR].name for own in cells.values()})
    other = ", or prob_diff where that is the task's metric" if len(kinds) > 1 else ""
    return "\n".join([*table, f"behaviour: {kinds[0]}{other}"])
