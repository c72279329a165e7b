"""Data of `custom_circuit`: pairs from a file of one's own.

    lm_eval --model circuit --tasks custom_circuit --metadata '{"pairs": "my.jsonl"}'

The file ends in `.jsonl`, `.csv` or `.parquet`. Its columns:

    clean, corrupted     prompts
    correct, incorrect   an answer or a list of answers, with the space before them if there is one;
                         or indices into `choices`, a list of answers
    split                optional: train, validation or test; without it, half of the keys each are
                         for discovery (train) and evaluation (test)
    key                  optional: what must not be in two splits; without it, the clean prompt

In a CSV file a list is written as JSON (`[" Paris", " Rome"]`). Every row is checked before any is
used, and all of what is wrong is told, by line.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness_circuits.errors import OptionError, PairError, TaskDataError
from harness_circuits.pairs.pair import Pair, make_pairs
from harness_circuits.task_data.base import SPLITS, TaskData, limit_of

NEEDED = ("clean", "corrupted", "correct", "incorrect")
LISTS = ("choices", "correct", "incorrect")
MOST_PROBLEMS = 10  # told of one file

Rows = Iterator[tuple[str, Any]]  # where a row is ("line 3"), and what it holds


class CustomData(TaskData):
    """Reads the file that `--metadata '{"pairs": FILE}'` names."""

    more = ("pairs",)

    def __init__(self, task: str) -> None:
        """Describe the data; the file is known when the data are built."""
        super().__init__(task, lambda _: ())

    def __call__(self, **metadata: Any) -> dict[str, Any]:
        """Build all splits.

        Args:
            **metadata: `pairs`, the file; as for `TaskData`, except that `n_train`,
                `n_validation` and `n_test` are by default all that there are.

        Raises:
            OptionError: No file is named, or a number of pairs is none.
            TaskDataError: The file is missing or of another kind, rows of it are malformed, or a
                split has no pair that fits the tokenizer.
        """
        from datasets import Dataset

        limits = {split: limit_of(metadata, f"n_{split}") for split in SPLITS}
        path = self._path(metadata)
        documents = read_pairs(path)
        fit = self.fitting(metadata)
        rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        for doc in documents:
            split = doc.pop("split")
            limit = limits[split]
            if limit is not None and len(rows[split]) >= limit:
                continue
            kept = fit(doc)
            if kept is not None:
                rows[split].append(kept)
        wanted = {split: int(split != "validation" and limits[split] != 0) for split in SPLITS}
        self._report(rows, wanted, fit)
        return {split: Dataset.from_list(rows[split]) for split in SPLITS}

    def _path(self, metadata: Mapping[str, Any]) -> Path:
        given = metadata.get("pairs")
        if not isinstance(given, str) or not given:
            raise OptionError(
                f"{self.task} reads a file of pairs: name it with --metadata "
                f'\'{{"pairs": "FILE.jsonl"}}\', got {given!r}.'
            )
        return Path(given).expanduser()


def read_pairs(path: Path) -> list[dict[str, Any]]:
    """Documents with the fields of a pair and a `split`.

    Raises:
        TaskDataError: The file is missing or of another kind, or rows of it are malformed.
    """
    readers = {".jsonl": _json_lines, ".csv": _csv_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise TaskDataError(f"{path}: a file of pairs ends in {', '.join(readers)}.")
    if not path.is_file():
        raise TaskDataError(f"There is no file of pairs {path}.")
    documents, problems = [], []
    places: dict[str, tuple[str, str]] = {}
    for where, row in readers[path.suffix](path):
        try:
            doc = _document(row)
            split, first = places.setdefault(doc["clean"], (doc["split"], where))
            if split != doc["split"]:
                raise TaskDataError(f"its clean prompt is in split {split} too, at {first}.")
            documents.append(doc)
        except (PairError, TaskDataError) as error:
            problems.append(f"{where}: {error}")
    if problems:
        first = f", the first {MOST_PROBLEMS}" if len(problems) > MOST_PROBLEMS else ""
        told = " ".join(problems[:MOST_PROBLEMS])
        raise TaskDataError(f"{path} has {len(problems)} rows that are no pairs{first}: {told}")
    if not documents:
        raise TaskDataError(f"{path} holds no pairs.")
    return documents


def _document(row: Any) -> dict[str, Any]:
    """A checked document of a row."""
    if isinstance(row, Exception):
        raise TaskDataError(str(row))
    if not isinstance(row, Mapping):
        raise TaskDataError(f"not an object with columns, but {row!r:.60}.")
    missing = [name for name in NEEDED if row.get(name) is None]
    if missing:
        raise TaskDataError(f"it lacks {', '.join(missing)}; it has {', '.join(map(str, row))}.")
    given = {name: value for name, value in row.items() if value is not None}
    if "choices" in given:
        pair = Pair.from_doc(given)
    else:
        (pair,) = make_pairs(*([given[name]] for name in NEEDED))
    if pair.clean == pair.corrupted:
        raise TaskDataError("clean and corrupted prompt are the same.")
    split = given.get("split") or _half(str(given.get("key", pair.clean)))
    if split not in SPLITS:
        raise TaskDataError(f"split is {', '.join(SPLITS)}, or left out; got {split!r}.")
    return {
        "clean": pair.clean,
        "corrupted": pair.corrupted,
        "choices": list(pair.choices),
        "correct": list(pair.correct),
        "incorrect": list(pair.incorrect),
        "split": split,
    }


def _half(key: str) -> str:
    """`train` or `test`, by a hash of the key."""
    return "test" if hashlib.sha256(key.encode()).digest()[0] % 2 else "train"


def _json_lines(path: Path) -> Rows:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield f"line {number}", json.loads(line)
            except ValueError as error:
                yield f"line {number}", TaskDataError(f"not JSON: {error}.")


def _csv_rows(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, restkey="")
        for row in reader:
            where = f"line {reader.line_num}"
            if "" in row:
                yield where, TaskDataError(f"it has more cells than the {len(row) - 1} columns.")
                continue
            filled = {name: value for name, value in row.items() if value not in (None, "")}
            try:
                yield where, {name: _cell(name, value) for name, value in filled.items()}
            except ValueError as error:
                yield where, TaskDataError(f"a list that is not JSON: {error}.")


def _cell(name: str, value: Any) -> Any:
    """A cell's text, or the list that it writes as JSON."""
    is_list = name in LISTS and isinstance(value, str) and value.lstrip().startswith("[")
    return json.loads(value) if is_list else value


def _parquet_rows(path: Path) -> Rows:
    import pandas

    try:
        frame = pandas.read_parquet(path)
    except (OSError, ValueError) as error:
        raise TaskDataError(f"{path} is not a parquet file: {str(error)[:120]}.") from error
    table = frame.astype(object).where(frame.notna(), None)
    for number, row in enumerate(table.to_dict("records"), 1):
        yield f"row {number}", row


custom = CustomData("custom_circuit")
