"""Methods against tasks, one metric: the first thing the leaderboard shows."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harness_circuits.records.run import Run
from harness_circuits.report.comparison.matching import OF_A_REPETITION
from harness_circuits.report.scoring import Column
from harness_circuits.report.table import Leaderboard, comparable
from harness_circuits.statistics.bootstrap import Interval

RESAMPLES, SEED = 2000, 0
SHADES = 5


@dataclass(frozen=True)
class Cell:
    """One run in the matrix.

    Attributes:
        at: Place of the entry on the board.
        value: Its value.
        mark: `best`, `tied` or empty.
        shade: From 0 (worst of its task) to `SHADES` - 1 (best); None where the model may be guessing.
    """

    at: int
    value: float
    mark: str
    shade: int | None


@dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
        label: Method and the settings that set it apart.
        cells: One for each task; None where it was not run.
        rank: Mean rank over tasks with its 95% interval over tasks; None where it lacks a task.
    """

    label: str
    cells: tuple[Cell | None, ...]
    rank: Interval | None


@dataclass(frozen=True)
class Matrix:
    """One metric of one model's runs.

    Attributes:
        model: The model.
        tasks: Heads of the columns: tasks with the number of pairs.
        chance: For each, whether the model may be guessing.
        rows: Methods, the best mean rank first.
        ranked: How many methods ran on all tasks that count, and are ranked among each other.
        counted: How many tasks count.
    """

    model: str
    tasks: tuple[str, ...]
    chance: tuple[bool, ...]
    rows: tuple[Row, ...]
    ranked: int
    counted: int


def matrices(board: Leaderboard, column: Column) -> list[Matrix]:
    """A matrix for each model with at least two methods and a task; the rest is in the table."""
    models = dict.fromkeys(entry.run.model for entry in board.entries)
    made = (_matrix(board, column, model) for model in models)
    return [matrix for matrix in made if len(matrix.rows) > 1]


def _matrix(board: Leaderboard, column: Column, model: str) -> Matrix:
    chosen = [
        at
        for at, entry in enumerate(board.entries)
        if entry.run.model == model and column.name in entry.values
    ]
    contests = list(dict.fromkeys(comparable(board.entries[at].run) for at in chosen))
    names = _labels(board, chosen)
    labels = list(dict.fromkeys(names.values()))
    values = np.full((len(labels), len(contests)), np.nan)
    places = np.full(values.shape, -1)
    for at in chosen:
        run = board.entries[at].run
        where = labels.index(names[at]), contests.index(comparable(run))
        values[where], places[where] = board.entries[at].values[column.name].value, at
    some = [board.entries[int(max(column_of))] for column_of in places.T]
    chance = [entry.run.at_chance for entry in some]
    several = (places >= 0).sum(axis=0) > 1
    counted = several & ~np.array(chance, dtype=bool)
    everywhere = ~np.isnan(values[:, counted]).any(axis=1)
    ranks = _mean_ranks(values[:, counted][everywhere], column.higher_is_better)
    rank = dict(zip(np.flatnonzero(everywhere).tolist(), ranks, strict=True))
    shades = _shades(values, column.higher_is_better)
    rows = [
        Row(
            label,
            tuple(
                None
                if places[i, j] < 0
                else Cell(
                    int(places[i, j]),
                    float(values[i, j]),
                    board.marks[column.name][places[i, j]],
                    None if chance[j] else int(shades[i, j]),
                )
                for j in range(len(contests))
            ),
            rank.get(i),
        )
        for i, label in enumerate(labels)
    ]
    rows.sort(key=lambda row: (row.rank is None, row.rank.value if row.rank else 0.0, row.label))
    heads = tuple(_head(entry.run) for entry in some)
    return Matrix(
        model, heads, tuple(chance), tuple(rows), int(everywhere.sum()), int(counted.sum())
    )


def _labels(board: Leaderboard, chosen: list[int]) -> dict[int, str]:
    """Of each entry, its method and what sets it apart from other runs of the same method.

    The number of training pairs, and what changes noise, time or what is reported beside, is left out
    where that leaves the runs of a task apart.
    """
    without = OF_A_REPETITION | {"n_discovery"}
    plain = {at: _label(board, at, chosen, without) for at in chosen}
    told = {(label, comparable(board.entries[at].run)) for at, label in plain.items()}
    return plain if len(told) == len(chosen) else {at: _label(board, at, chosen) for at in chosen}


def _label(board: Leaderboard, at: int, chosen: list[int], without: Container[str] = ()) -> str:
    settings = board.entries[at].run.settings
    usual = {"level": "edge", "ablation": "patching", "selection": "top-n"}
    unusual = [str(settings[name]) for name, value in usual.items() if settings[name] != value]
    others = [
        dict(board.given[other])
        for other in chosen
        if board.entries[other].run.settings["method"] == settings["method"]
    ]
    options = dict(board.given[at])
    differing = [
        f"{name}={value}"
        for name, value in options.items()
        if name not in without and any(other.get(name) != value for other in others)
    ]
    return ", ".join([str(settings["method"]), *unusual, *differing])


def _head(run: Run) -> str:
    return f"{run.task.removesuffix('_circuit').replace('_', ' ')} ({run.n_evaluation})"


def _mean_ranks(values: Float[np.ndarray, "method task"], higher: bool) -> list[Interval | None]:
    """Mean rank of each method over tasks, 1 for the best, and its interval over tasks."""
    n_methods, n_tasks = values.shape
    if n_methods < 2 or n_tasks < 1:
        return [None] * n_methods
    ranks = _ranks(-values if higher else values)
    means = ranks.mean(axis=1)
    if n_tasks < 3:
        return [Interval(float(m), float(m), float(m)) for m in means]
    draws = np.random.default_rng(SEED).integers(n_tasks, size=(RESAMPLES, n_tasks))
    low, high = np.quantile(ranks[:, draws].mean(axis=2), (0.025, 0.975), axis=1)
    return [
        Interval(float(m), float(min(a, m)), float(max(b, m)))
        for m, a, b in zip(means, low, high, strict=True)
    ]


def _ranks(values: Float[np.ndarray, "n *task"]) -> Float[np.ndarray, "n *task"]:
    """Rank of each value along the first axis, from 1; equal ones share the mean of theirs."""
    others, own = values[None], values[:, None]
    return np.asarray(1 + (others < own).sum(axis=1) + ((others == own).sum(axis=1) - 1) / 2)


def _shades(values: Float[np.ndarray, "method task"], higher: bool) -> np.ndarray:
    """Shade of each cell within its task, by rank; -1 where there is none."""
    shades = np.full(values.shape, -1)
    for j, column in enumerate(values.T):
        there = ~np.isnan(column)
        if there.sum() == 1:
            shades[there, j] = SHADES // 2
            continue
        order = _ranks(column[there] if higher else -column[there])
        share = (order - 1) / max(1, there.sum() - 1)
        shades[there, j] = np.minimum((share * SHADES).astype(int), SHADES - 1)
    return shades
