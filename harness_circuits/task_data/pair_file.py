"""Rows of a file of pairs: JSON lines, a table of text, or parquet; with where each row stands.

Text is UTF-8, or what a byte order mark says (UTF-8, UTF-16, UTF-32); anything else is not guessed
but refused, unless its encoding is named. The columns of a table are separated by what separates
them in its first line: commas, semicolons, tabs or bars.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.records.fields import without_repetition

Rows = Iterator[tuple[str, Any]]  # where a row is ("line 3"), and what it holds

KINDS = (".jsonl", ".csv", ".tsv", ".parquet")
LISTS = ("choices", "correct", "incorrect")
MAPPINGS = ("spans", "corrupted_spans")
SEPARATORS = ",;\t|"
MARKS = (  # those of UTF-32 first: one of UTF-16 begins like it
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_rows(path: Path, needed: Sequence[str], encoding: str | None = None) -> Rows:
    """The rows of a file; what is no row is an exception in its place.

    Args:
        path: The file; its ending says what it is.
        needed: Columns that the first line of a table of text has.
        encoding: How the text is encoded, where no mark says it and it is not UTF-8.

    Raises:
        OptionError: There is no such encoding.
        TaskDataError: The file is missing, of another kind, or not text that can be read.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise TaskDataError(f"{path}: a file of pairs ends in {', '.join(KINDS)}.")
    if not path.is_file():
        raise TaskDataError(f"There is no file of pairs {path}.")
    if kind == ".parquet":
        return _parquet_rows(path)
    text = read_text(path, encoding)
    return _json_lines(text) if kind == ".jsonl" else _table_rows(path, text, needed)


WAY = (
    'Save it as UTF-8 (in Excel: "CSV UTF-8"), or name its encoding beside the file: '
    '--metadata \'{"pairs": ..., "encoding": "cp1252"}\'.'
)


def read_text(path: Path, encoding: str | None = None, way: str = WAY) -> str:
    """The text of a file in UTF-8, in what its byte order mark says, or in a named encoding.

    Args:
        path: The file.
        encoding: Its encoding, where it is named.
        way: What a message says to do about a file in another one.

    Raises:
        OptionError: There is no such encoding.
        TaskDataError: It cannot be read, or is another encoding's.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TaskDataError(f"{path} cannot be read: {error.strerror or error}.") from error
    marked = next((name for mark, name in MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding or marked)
    except LookupError:
        raise OptionError(f"encoding is one that Python knows, got {encoding!r:.60}.") from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        around = data[max(0, error.start - 20) : error.start + 1].splitlines()[-1:]
        shown = "".join(repr(part)[1:] for part in around)
        raise TaskDataError(
            f"{path} is not {(encoding or marked).upper()}: line {line} has a byte "
            f"0x{data[error.start]:02x} that no such text has, at {shown}. {way}"
        ) from None
    except UnicodeError as error:  # a cut-off text in UTF-16
        raise TaskDataError(f"{path} is not {(encoding or marked).upper()}: {error}.") from None
    if "\0" in text:
        raise TaskDataError(
            f"{path} has zero bytes in it, as text in UTF-16 without a byte order mark does. "
            + way.replace("cp1252", "utf-16-le")
        )
    return text.removeprefix("\ufeff")


def _json_lines(text: str) -> Rows:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line, object_pairs_hook=without_repetition)
        except (ValueError, RecursionError) as error:
            yield f"line {number}", TaskDataError(f"not JSON: {error}.")


def _table_rows(path: Path, text: str, needed: Sequence[str]) -> Rows:
    """Rows of a table; columns without a name, such as pandas' index, are passed over."""
    first, _, rest = text.partition("\n")
    skipped = first.strip().strip('"').lower().startswith("sep=")  # a line that Excel understands
    body = rest if skipped else text
    separator = _separator(path, body, needed)
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=separator)
    try:
        names = [name.strip() for name in next(reader)]
        for name in filter(None, names):
            if names.count(name) > 1:
                raise TaskDataError(f"{path}: two columns are called {name!r:.60}.")
        for cells in reader:
            if cells:
                yield f"line {reader.line_num + skipped}", _table_row(names, cells)
    except csv.Error as error:
        yield f"line {reader.line_num + skipped}", TaskDataError(f"not a row of a table: {error}.")


def _table_row(names: Sequence[str], cells: Sequence[str]) -> Any:
    if len(cells) > len(names):
        return TaskDataError(f"it has more cells than the {len(names)} columns.")
    filled = {name: cell for name, cell in zip(names, cells, strict=False) if name and cell}
    try:
        return {name: _cell(name, value) for name, value in filled.items()}
    except (ValueError, RecursionError) as error:
        return TaskDataError(f"a list or mapping that is not JSON: {error}.")


def _separator(path: Path, text: str, needed: Sequence[str]) -> str:
    """What separates the names in the first line so that the needed ones are among them."""
    for separator in SEPARATORS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            names = {name.strip() for name in next(reader, ())}
        except csv.Error:
            continue
        if set(needed) <= names:
            return separator
    first = text.partition("\n")[0].strip()
    raise TaskDataError(
        f"{path} holds no pairs: " + ("it is empty." if not text.strip() else (
            f"its first line has no columns {', '.join(needed)}, separated by commas, semicolons, tabs "
            f"or bars; it reads {first!r:.100}. Name the columns so, or map them: tasks/README.md."
        ))
    )  # fmt: skip


def _cell(name: str, value: str) -> Any:
    """A cell's text, or the list or mapping that it writes as JSON."""
    is_list = name in LISTS and value.lstrip().startswith("[")
    return json.loads(value) if is_list or name in MAPPINGS else value


def _parquet_rows(path: Path) -> Rows:
    import pandas

    try:
        frame = pandas.read_parquet(path)
    except (OSError, ValueError) as error:
        raise TaskDataError(f"{path} is not a parquet file: {str(error)[:120]}.") from error
    table = frame.astype(object).where(frame.notna(), None)
    for number, row in enumerate(table.to_dict("records"), 1):
        yield f"row {number}", row
