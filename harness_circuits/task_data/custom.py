"""Data of `custom_circuit`: pairs from a file of one's own.

    lm_eval --model circuit --tasks custom_circuit --metadata '{"pairs": "my.jsonl"}'

The file ends in `.jsonl`, `.csv`, `.tsv` or `.parquet` (`pair_file`). Its columns:

    clean, corrupted     prompts
    correct, incorrect   an answer or a list of answers, with the space before them if there is one;
                         or indices into `choices`, a list of answers
    split                optional: train, validation or test; without it, half of the keys each are
                         for discovery (train) and evaluation (test)
    key                  optional: what must not be in two splits; without it, the clean prompt
    template             optional: which phrasing the pair is of, a word or number
    spans, corrupted_spans  optional: named spans of the prompts, {NAME: [start, end]}

Columns of other names are mapped by `columns` (`columns.Columns`), and others are passed over. In a
table of text a list is written as JSON (`[" Paris", " Rome"]`). Every row is checked before any is
used, and what is wrong is told by line, as far as a message goes.
"""

from __future__ import annotations

import codecs
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness_circuits.errors import OptionError, PairError, TaskDataError, one_line, shown
from harness_circuits.options.paths import read_path
from harness_circuits.pairs.pair import SPANS, Pair, make_pairs
from harness_circuits.task_data.base import SPLITS, TaskData, limit_of
from harness_circuits.task_data.chat import Chat
from harness_circuits.task_data.columns import Columns
from harness_circuits.task_data.pair_file import read_rows
from harness_circuits.task_data.scorer import Scorer

NEEDED = ("clean", "corrupted", "correct", "incorrect")
MOST_PROBLEMS = 10  # told of one file
MOST_OF_A_MESSAGE = 400  # characters of all of them together
AS_THEY_ARE = Columns()


class CustomData(TaskData):
    """Reads the file that `--metadata '{"pairs": FILE}'` names."""

    more = ("pairs", "columns", "encoding", "same_pairs")

    def __init__(self, task: str) -> None:
        """Describe the data; the file is known when the data are built."""
        super().__init__(task, lambda _: ())

    def build(
        self, metadata: Mapping[str, Any], scorer: Scorer, chat: Chat | None = None
    ) -> dict[str, Any]:
        """Build all splits.

        Args:
            metadata: `pairs`, the file; `columns` and `encoding`, how to read it; `same_pairs`,
                true where all pairs are for discovery and for evaluation; as for `TaskData`, except
                that `n_train`, `n_validation` and `n_test` are by default all that there are.
            scorer: The model they are built for.
            chat: What puts prompts into a chat's format.

        Raises:
            OptionError: No file is named, or what is given is not a number of pairs.
            TaskDataError: The file is missing or of another kind, rows of it are malformed, or a
                split has no pair that fits the tokenizer.
        """
        from datasets import Dataset

        limits = {split: limit_of(metadata, f"n_{split}") for split in SPLITS}
        path, fit = self._path(metadata), scorer.fit(self.task, metadata, chat)
        columns = Columns.read(metadata.get("columns"), fit.tokenizer)
        needed = [split for split in ("train", "test") if limits[split] != 0]
        documents = _documents(path, columns, metadata, needed)
        rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        for doc in documents:
            split = doc.pop("split")
            limit = limits[split]
            if limit is not None and len(rows[split]) >= limit:
                continue
            kept = fit(doc)
            if kept is not None:
                rows[split].append(kept)
        self._report(rows, {split: int(split in needed) for split in SPLITS}, fit)
        return {split: Dataset.from_list(rows[split]) for split in SPLITS}

    def check(self, metadata: Mapping[str, Any]) -> None:
        """Check the file, as far as that needs no tokenizer, and what it is read by.

        Raises:
            OptionError: No file is named, or something is none of its kind.
            TaskDataError: The file is missing or of another kind, or rows of it are malformed.
        """
        super().check(metadata)
        path, columns = self._path(metadata), Columns.read(metadata.get("columns"))
        encoding = _encoding(metadata)
        _same_pairs(metadata)
        needed = [split for split in ("train", "test") if limit_of(metadata, f"n_{split}") != 0]
        if columns.hold_tokens:
            list(read_rows(path, columns.needed, encoding))
        else:
            _documents(path, columns, metadata, needed)

    def _path(self, metadata: Mapping[str, Any]) -> Path:
        given = metadata.get("pairs")
        if not isinstance(given, str) or not given:
            raise OptionError(
                f"{self.task} reads a file of pairs: name it with --metadata "
                f'\'{{"pairs": "FILE.jsonl"}}\', got {shown(given)}.'
            )
        return read_path(given, "pairs", "a file of pairs")


def _documents(
    path: Path, columns: Columns, metadata: Mapping[str, Any], needed: Sequence[str]
) -> list[dict[str, Any]]:
    """The file's documents, with some for each split that needs any."""
    documents = read_pairs(path, columns, _encoding(metadata))
    if _same_pairs(metadata):
        documents = [{**doc, "split": split} for split in ("train", "test") for doc in documents]
    check_splits(path, Counter(doc["split"] for doc in documents), needed)
    return documents


def _encoding(metadata: Mapping[str, Any]) -> str | None:
    given = metadata.get("encoding")
    try:
        if given is not None and not codecs.lookup(given).name:
            raise LookupError
    except (LookupError, TypeError, ValueError):  # a name with a NUL or half a character in it
        raise OptionError(
            f"encoding is the name of one that Python knows, such as cp1252, got {shown(given, 60)}."
        ) from None
    return str(given) if given is not None else None


def _same_pairs(metadata: Mapping[str, Any]) -> bool:
    given = metadata.get("same_pairs", False)
    if not isinstance(given, bool):
        raise OptionError(f"same_pairs is true or false, got {shown(given, 60)}.")
    return given


def check_splits(path: Path, counts: Mapping[str, int], needed: Sequence[str]) -> None:
    """Make sure that there are pairs for discovery and for evaluation.

    Args:
        path: The file.
        counts: Number of pairs of each split.
        needed: Splits that must have some.

    Raises:
        TaskDataError: A split has none.
    """
    lacking = [split for split in needed if not counts.get(split)]
    if not lacking:
        return
    total = sum(counts.values())
    found = ", ".join(f"{n} {split}" for split, n in counts.items())
    raise TaskDataError(
        f"{path} has {total} pair{'s' if total > 1 else ''} ({found}) and none for "
        f"{' and '.join(lacking)}: circuits are found on train and evaluated on test. Say in a column "
        "split which row is for what (without it a hash of the clean prompt decides), or use all "
        'pairs for both: --metadata \'{"pairs": ..., "same_pairs": true}\'.'
    )


def read_pairs(
    path: Path, columns: Columns = AS_THEY_ARE, encoding: str | None = None
) -> list[dict[str, Any]]:
    """Documents with the fields of a pair and a `split`.

    Args:
        path: The file.
        columns: What its columns are.
        encoding: That of its text, where it is not UTF-8 and no mark says which.

    Raises:
        OptionError: There is no such encoding.
        TaskDataError: The file is missing or of another kind, or rows of it are malformed.
    """
    documents, problems = [], []
    places: dict[str, tuple[str, str]] = {}
    for where, row in read_rows(path, columns.needed, encoding):
        try:
            doc = _document(row, columns)
            split, first = places.setdefault(doc["clean"], (doc["split"], where))
            if split != doc["split"]:
                raise TaskDataError(f"its clean prompt is in split {split} too, at {first}.")
            documents.append(doc)
        except (PairError, TaskDataError) as error:
            problems.append(f"{where}: {error}")
    if problems:
        raise TaskDataError(_told(path, problems))
    if not documents:
        raise TaskDataError(f"{path} holds no pairs.")
    names = {name: None for doc in documents for name in doc}
    return [names | doc for doc in documents]


def _told(path: Path, problems: Sequence[str]) -> str:
    """What is wrong with a file's rows: as many of the first as one message holds, and at least one."""
    n = len(problems)
    head = f"{path} has {f'{n} rows that are no pairs' if n > 1 else '1 row that is no pair'}"
    room = MOST_OF_A_MESSAGE - len(head) - len(", the first 10: ")
    told: list[str] = []
    for problem in map(one_line, problems[:MOST_PROBLEMS]):
        if told and len(" ".join([*told, problem])) > room:
            break
        told.append(problem)
    if len(told) == 1 and len(told[0]) > max(room, 120):
        told = [told[0][: max(room, 120) - 3] + "..."]
    first = (
        f", the first {len(told)}" if 1 < len(told) < n else ", the first" if len(told) < n else ""
    )
    return f"{head}{first}: {' '.join(told)}"


def _document(row: Any, columns: Columns) -> dict[str, Any]:
    """A checked document of a row."""
    if isinstance(row, Exception):
        raise TaskDataError(str(row))
    if not isinstance(row, Mapping):
        raise TaskDataError(f"not an object with columns, but {shown(row, 60)}.")
    row = columns.pair_row(row)
    missing = [name for name in NEEDED if row.get(name) is None]
    if missing:
        raise TaskDataError(f"it lacks {', '.join(missing)}; it has {', '.join(map(str, row))}.")
    given = {name: value for name, value in row.items() if value is not None}
    if "choices" not in given:
        (made,) = make_pairs(*([given[name]] for name in NEEDED))
        given |= {name: getattr(made, name) for name in ("choices", "correct", "incorrect")}
    pair = Pair.from_doc(given)
    if pair.clean == pair.corrupted:
        raise TaskDataError("clean and corrupted prompt are the same.")
    split = given.get("split") or _half(str(given.get("key", pair.clean)))
    if split not in SPLITS:
        raise TaskDataError(f"split is {', '.join(SPLITS)}, or left out; got {shown(split)}.")
    spans = {name: {s.name: [s.start, s.end] for s in getattr(pair, name)} for name in SPANS}
    return {
        "clean": pair.clean,
        "corrupted": pair.corrupted,
        "choices": list(pair.choices),
        "correct": list(pair.correct),
        "incorrect": list(pair.incorrect),
        "split": split,
        **({} if pair.template is None else {"template": pair.template}),
        **{name: own for name, own in spans.items() if own},
    }


def _half(key: str) -> str:
    """`train` or `test`, by a hash of the key."""
    return "test" if hashlib.sha256(key.encode()).digest()[0] % 2 else "train"


custom = CustomData("custom_circuit")
