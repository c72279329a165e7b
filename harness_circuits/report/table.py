"""The leaderboard: runs with marks, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from harness_circuits.machine.outgoing import spreadsheet_cell
from harness_circuits.options.fields import SETTINGS as DECLARED
from harness_circuits.records.run import Run, tell_apart
from harness_circuits.report.markdown import escape, interval_text, markdown_table
from harness_circuits.report.scoring import BEST, COLUMNS, TIED, Column, Entry, make_entry, mark

SETTINGS = ("method", "level", "ablation", "selection")
TEXT = ("model", "task", "pairs", *SETTINGS, "options")
TIED_SIGN = "≈"


@dataclass(frozen=True)
class Leaderboard:
    """All runs with marks.

    Attributes:
        entries: Sorted by model, task and CMD.
        marks: By name of the column, one for each entry.
        given: For each entry, names and values of the settings that set it apart beyond `SETTINGS`.
        note: What people read above all tables.
        without: Names of columns that are not shown.
    """

    entries: tuple[Entry, ...]
    marks: dict[str, tuple[str, ...]]
    given: tuple[tuple[tuple[str, str], ...], ...]
    note: str = ""
    without: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """For each entry, what sets it apart, as text."""
        return tuple(", ".join(f"{n}={value}" for n, value in given) for given in self.given)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns that are shown and that at least one run has."""
        shown = (column for column in COLUMNS if column.name not in self.without)
        return tuple(m for m in shown if any(m.name in entry.values for entry in self.entries))

    def order(self, column: Column) -> list[int]:
        """Places of entries as the table of a column has them: by model and task, best first."""
        sign = -1 if column.higher_is_better else 1

        def place(at: int) -> float:
            value = self.entries[at].values.get(column.name)
            return float("inf") if value is None else sign * value.value

        return [at for _, members in _cells(self.entries) for at in sorted(members, key=place)]

    def texts(self, at: int) -> tuple[str, ...]:
        """The values of the columns `TEXT` of one entry."""
        run = self.entries[at].run
        settings = (str(run.settings[name]) for name in SETTINGS)
        return (run.model, run.task, str(run.n_evaluation), *settings, self.options[at])


def make_leaderboard(
    runs: Sequence[Run], note: str = "", without: Sequence[str] = ()
) -> Leaderboard:
    """Rank runs within each task on each model; one that may be guessing is neither best nor tied.

    Args:
        runs: Runs.
        note: What people read above all tables.
        without: Names of columns that are not shown.
    """
    entries = [make_entry(run) for run in tell_apart(runs)]
    entries.sort(key=lambda entry: (comparable(entry.run), _order(entry)))
    marks = {column.name: [""] * len(entries) for column in COLUMNS}
    for _, members in _cells(entries):
        for column in COLUMNS:
            ranked = [at for at in members if not entries[at].run.at_chance]
            for at, sign in zip(ranked, mark([entries[i] for i in ranked], column), strict=True):
                marks[column.name][at] = sign
    options = _options([entry.run for entry in entries])
    return Leaderboard(
        tuple(entries),
        {name: tuple(column) for name, column in marks.items()},
        options,
        note,
        tuple(without),
    )


def comparable(run: Run) -> tuple[str, str, str, tuple[float, ...], int, str]:
    """What runs must share to be ranked together: over other sizes or pairs, numbers are others."""
    sizes = next(iter(run.curves.values())).sizes
    return run.model, run.task, run.metric, sizes, *run.evaluated_on


def _cells(entries: Sequence[Entry]) -> Iterator[tuple[str, list[int]]]:
    """A heading, and the places of entries that are ranked together; no two headings are equal."""
    groups = groupby(range(len(entries)), key=lambda at: comparable(entries[at].run))
    cells = [(key, list(members)) for key, members in groups]
    plain = [
        f"{task} on {model}, sizes {_list_text(sizes)}" for (model, task, _, sizes, *_), _ in cells
    ]
    for heading, ((_, _, metric, _, n, pairs), members) in zip(plain, cells, strict=True):
        more = f", {metric} of {n} pairs ({pairs:.8})" if plain.count(heading) > 1 else ""
        yield heading + more, members


def leaderboard_csv(board: Leaderboard) -> str:
    """One row per run: settings, every column with its bounds and mark, sizes of the data, file.

    A column that no run has a value for is left out.
    """
    rows = [_row(board, at) for at in range(len(board.entries))]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [name for name in names if any(row.get(name) is not None for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: spreadsheet_cell(row.get(name)) for name in columns} for row in rows)
    return text.getvalue()


def _row(board: Leaderboard, at: int) -> dict[str, object]:
    entry = board.entries[at]
    run = entry.run
    row: dict[str, object] = dict(zip(TEXT, board.texts(at), strict=True))
    del row["pairs"]  # stands below as a number
    for column in board.columns:
        if (value := entry.values.get(column.name)) is not None:
            bounds = (value.low, value.high) if value.low < value.high else (None, None)
            row[column.name] = value.value
            row[f"{column.name}_ci95_low"], row[f"{column.name}_ci95_high"] = bounds
            row[f"{column.name}_mark"] = board.marks[column.name][at]
    return row | {
        "model_accuracy": run.accuracy[0].value if run.accuracy else None,
        "chance": run.accuracy[1] if run.accuracy else None,
        **{name: value for name, value in run.whole_model.items() if name != "acc"},
        "n_discovery": run.n_discovery,
        "n_evaluation": run.n_evaluation,
        "evaluation_pairs": run.evaluation_pairs,
        "file": run.file.as_posix(),
    }


def leaderboard_markdown(board: Leaderboard, left_out: Sequence[str] = ()) -> str:
    """A table per model and task, best values bold, those not distinguishable from them marked.

    Args:
        board: Runs and marks.
        left_out: A line for each file or run that is not among them.
    """
    parts = ["# Circuit discovery leaderboard\n"]
    parts += [f"{escape(board.note)}\n"] if board.note else []
    for heading, members in _cells(board.entries):
        parts.append(f"## {escape(heading)}\n")
        told = dict.fromkeys(accuracy_text(board.entries[at].run) for at in members)
        parts += [f"The whole model: {text}.\n" for text in told if text]
        headers = [*TEXT[2:], *(f"{m.title} {_arrow(m)}" for m in board.columns)]
        rows = [
            [escape(text) for text in board.texts(at)[2:]]
            + [_cell(board, at, column) for column in board.columns]
            for at in members
        ]
        parts.append(markdown_table(headers, rows, numbers_from=len(TEXT) - 2))
    about = "".join(f"- {m.title} {_arrow(m)}: {escape(m.about)}\n" for m in board.columns)
    parts.append(
        f"Bold: best of its table, over the same pairs. {TIED_SIGN}: not distinguishable from the "
        "best (p above 0.05 after Holm's correction, on the same examples where both runs saved "
        f"them). Brackets: 95% intervals over evaluation examples.\n\n{about}"
    )
    if left_out:
        parts.append(f"{len(left_out)} left out:\n")
        parts.append("".join(f"- {escape(line)}\n" for line in left_out))
    return "\n".join(parts)


def accuracy_text(run: Run) -> str:
    """Whether the model does the task at all; empty where the file does not say."""
    if run.accuracy is None:
        return ""
    value, chance = run.accuracy
    text = f"accuracy {interval_text(value, digits=2)} on {run.n_evaluation} pairs, guessing {chance:.2f}"
    return f"{text}: near chance, its curves say nothing" if run.at_chance else text


def whole_model_texts(run: Run) -> dict[str, str]:
    """The whole model's metric and behaviour: what they are of, and the values."""
    of = {"full_metric": run.metric, "corrupted_metric": f"{run.metric}, corrupted"}
    return {
        f"{name} ({of.get(name, 'whole answers')})": f"{value:.4g}"
        for name, value in run.whole_model.items()
        if name != "acc"
    }


def value_text(board: Leaderboard, at: int, column: Column) -> str:
    """A value with its interval, or a dash."""
    value = board.entries[at].values.get(column.name)
    return "-" if value is None else interval_text(value, digits=column.digits)


def _cell(board: Leaderboard, at: int, column: Column) -> str:
    text, sign = value_text(board, at, column), board.marks[column.name][at]
    return {BEST: f"**{text}**", TIED: f"{text} {TIED_SIGN}"}.get(sign, text)


def _arrow(column: Column) -> str:
    return "↑" if column.higher_is_better else "↓"


def _order(entry: Entry) -> tuple[float, str]:
    value = entry.values.get("cmd") or entry.values.get("cpr")
    return (value.value if value else float("inf")), str(entry.run.settings["method"])


def _options(runs: Sequence[Run]) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Settings and model details that differ within the runs, but for defaults."""
    own = {name: option.default for name, option in DECLARED.items()}
    usual = flat({**own, "keep_samples": 0}).items()  # what the default selector needs
    everything = [dict(flat({**run.model_details, **run.settings}).items() - usual) for run in runs]
    names = sorted({name for options in everything for name in options} - {*SETTINGS})
    differing = [n for n in names if len({options.get(n) for options in everything}) > 1]
    return tuple(
        tuple((n, options[n]) for n in differing if n in options) for options in everything
    )


def flat(options: Mapping[str, Any]) -> dict[str, str]:
    """Options that are set, as text: those of methods and selectors on the same level."""
    text: dict[str, str] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            text |= flat(value) if name != "graph" else {}
        elif isinstance(value, (list, tuple)):
            numbers = value and all(type(item) in (int, float) for item in value)
            text[name] = _list_text(value) if numbers else ":".join(map(str, value))
        elif value is not None:
            text[name] = str(value)
    return text


def _list_text(values: Sequence[float]) -> str:
    """Sizes in short: `10 from 0.001 to 1`."""
    return f"{len(values)} from {min(values):g} to {max(values):g}"
