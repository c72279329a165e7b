"""Circuits of each of several tasks on all of them, as `harness-circuits transfer` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness_circuits import __version__
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.errors import shown
from harness_circuits.records.fields import Fields, ResultFileError

KIND = "transfer"
Matrix = list[list[float]]


@dataclass(frozen=True)
class TransferMatrix:
    """The circuits of one ranking and size: rows are tasks they are of, columns tasks they are run on.

    Attributes:
        ranking: What they were ranked by.
        size: The size that was asked for.
        kept: Units that the circuit of each task keeps.
        faithfulness: Faithfulness.
        ci95_low: Lower ends of its 95% intervals over evaluation pairs; None where there are none.
        ci95_high: Upper ends.
        random: Mean faithfulness of random circuits of the row's size; None without any.
        above_random: (f - random) / (1 - random): 0 as random ones, 1 as the model; None without any.
        jaccard: Jaccard index of the circuits of two tasks.
        corrected_jaccard: The same, corrected for chance (`circuits.overlap`).
    """

    ranking: str
    size: float
    kept: list[int]
    faithfulness: Matrix
    ci95_low: list[list[float | None]]
    ci95_high: list[list[float | None]]
    random: Matrix | None
    above_random: Matrix | None
    jaccard: Matrix
    corrected_jaccard: Matrix


@dataclass(frozen=True)
class Transfer:
    """All matrices of some tasks.

    Attributes:
        model: Name of the model.
        tasks: Names of the tasks, in the order of rows and columns.
        n_discovery: Training pairs of each.
        n_evaluation: Evaluation pairs of each.
        settings: Settings in force.
        matrices: One per ranking and size.
        warnings: What makes the numbers say less than they seem to.
    """

    model: str
    tasks: tuple[str, ...]
    n_discovery: tuple[int, ...]
    n_evaluation: tuple[int, ...]
    settings: dict[str, Any]
    matrices: tuple[TransferMatrix, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"kind": KIND, "version": __version__, **asdict(self)}


def is_transfer(data: Any) -> bool:
    """Whether the content of a JSON file says that it is one of these."""
    return isinstance(data, Mapping) and data.get("kind") == KIND


def read_transfer(data: Any) -> Transfer:
    """What `Transfer.to_dict` wrote.

    Raises:
        ResultFileError: A part is missing or malformed.
    """
    top = Fields(data, "the file")
    tasks = top.texts("tasks")
    n = len(tasks)
    if n < 2:
        raise ResultFileError(f"a transfer matrix has two tasks or more, got {n}")
    matrices = data.get("matrices")
    if not isinstance(matrices, list) or not matrices:
        raise ResultFileError(f"'matrices' is not a list of some but {shown(matrices, 80)}")
    return Transfer(
        top.text("model"),
        tasks,
        _whole(top, "n_discovery", n),
        _whole(top, "n_evaluation", n),
        dict(top.child("settings").data),
        tuple(_matrix(Fields(one, f"matrices[{at}]"), n) for at, one in enumerate(matrices)),
        top.texts("warnings"),
    )


def _matrix(one: Fields, n: int) -> TransferMatrix:
    ranking = one.text("ranking")
    if ranking not in list(Ranking):
        raise ResultFileError(f"{one.where}: there is no ranking {shown(ranking, 60)}")
    ends = [_square(one, name, n, gaps=True) for name in ("ci95_low", "ci95_high")]
    null = [
        None if one.data.get(name) is None else _square(one, name, n)
        for name in ("random", "above_random")
    ]
    overlaps = [_square(one, name, n) for name in ("jaccard", "corrected_jaccard")]
    f, size, kept = _square(one, "faithfulness", n), one.number("size"), _whole(one, "kept", n)
    return TransferMatrix(ranking, size, list(kept), f, *ends, *null, *overlaps)


def _whole(fields: Fields, name: str, n: int) -> tuple[int, ...]:
    return tuple(map(int, fields.numbers(name, n)))


def _square(fields: Fields, name: str, n: int, *, gaps: bool = False) -> Any:
    """A matrix with a row and a column for each task; of intervals, with gaps where there are none."""
    rows = fields.data.get(name)
    if not isinstance(rows, list) or len(rows) != n:
        raise ResultFileError(f"{fields.where}: {name!r} has no row for each of {n} tasks")
    return [
        [None if gaps and x is None else Fields({name: x}, fields.where).number(name) for x in row]
        if isinstance(row, list) and len(row) == n
        else _no_row(fields, name, row)
        for row in rows
    ]


def _no_row(fields: Fields, name: str, row: object) -> list[float]:
    raise ResultFileError(f"{fields.where}: {name!r} has a row that is {shown(row, 80)}")
