"""Results files of lm-eval, and logs of Inspect AI, as typed records: one `Run` per circuit task.

Reading is strict. A file that is broken, or not of a `--model circuit` run, is refused with a message
that names file, field and value; `read_results` collects these refusals and goes on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness_circuits.errors import one_line, shown
from harness_circuits.machine.packed import is_stored
from harness_circuits.records import checksum
from harness_circuits.records.circuit_section import read_run
from harness_circuits.records.fields import Fields, ResultFileError
from harness_circuits.records.inspect_log import (
    SUFFIX,
    OtherLogError,
    as_results,
    is_log,
    read_log,
)
from harness_circuits.records.run import Run
from harness_circuits.records.transfer import Transfer, is_transfer, read_transfer

EXAMPLES_FILE = "examples.jsonl"
NAMED, MOST_OF_REASONS = 5, 400  # files that a message names, and characters of its reasons


class ForeignFileError(ResultFileError):
    """A file is JSON, but no results file of `--model circuit`."""


@dataclass(frozen=True)
class Reading:
    """What a set of files held.

    Attributes:
        runs: In the order of files and tasks.
        skipped: Files that were refused, with the reason.
        damaged: Those of them that are not just something else, such as results of other models.
        transfers: Circuits of each task on all tasks, with the files.
    """

    runs: tuple[Run, ...]
    skipped: tuple[tuple[Path, str], ...]
    damaged: tuple[Path, ...] = ()
    transfers: tuple[tuple[Path, Transfer], ...] = ()

    @property
    def left_out(self) -> tuple[str, ...]:
        """A line for each file that was refused, and one with counts; nothing if none was."""
        if not self.skipped:
            return ()
        used = len({run.file for run in self.runs}) + len(self.transfers)
        lines = (f"skipped {path}: {reason}" for path, reason in self.skipped)
        return (*lines, f"{len(self.skipped)} files skipped, {used} used")


def read_results(paths: Iterable[str | Path]) -> Reading:
    """Read files, and all `.json` and `.eval` files below folders, other than those of artifacts.

    Args:
        paths: Files and folders.

    Raises:
        ResultFileError: A path does not exist.
    """
    files: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ResultFileError(f"There is no file or folder {path}.")
        files |= dict.fromkeys(_below(path) if path.is_dir() else [path])
    runs: list[Run] = []
    skipped: list[tuple[Path, str]] = []
    damaged: list[Path] = []
    transfers: list[tuple[Path, Transfer]] = []
    for file in files:
        try:
            data = read_log(file)
            if is_transfer(data):
                transfers.append((file, read_transfer(data)))
            else:
                runs += _runs(file, data)
        except ResultFileError as error:
            skipped.append((file, str(error)))
            damaged += [] if isinstance(error, ForeignFileError) else [file]
    return Reading(tuple(runs), tuple(skipped), tuple(damaged), tuple(transfers))


def read_runs(paths: Sequence[str | Path], *, transfers: bool = False) -> Reading:
    """Read results, of which there must be some.

    Args:
        paths: Files and folders.
        transfers: Whether circuits of each task on all tasks are results enough.

    Raises:
        ResultFileError: A path does not exist, or no file is usable.
    """
    reading = read_results(paths)
    if not reading.runs and not (transfers and reading.transfers):
        raise ResultFileError(
            f"No results of --model circuit in {', '.join(shown(str(path), 100) for path in paths)}"
            f"{_why_none(reading)}. Write some with lm_eval --model circuit "
            "--output_path FOLDER."
        )
    return reading


def _why_none(reading: Reading) -> str:
    """The first reasons why files were refused, by the files' names."""
    first = [f"; {path.name}: {reason}" for path, reason in reading.skipped[:NAMED]]
    more = len(reading.skipped) - len(first)
    return one_line("".join(first))[:MOST_OF_REASONS] + (f"; and {more} more files" if more else "")


def _below(folder: Path) -> list[Path]:
    """JSON files and logs, without the scores and circuits that runs leave beside `examples.jsonl`."""
    files = sorted(
        Path(parent) / name
        for parent, _, names in os.walk(folder)  # which passes over what vanishes meanwhile
        for name in names
        if name.endswith((".json", SUFFIX))
    )
    return [file for file in files if not is_stored(file.parent / EXAMPLES_FILE)]


def read_results_file(path: Path) -> tuple[Run, ...]:
    """Read one file.

    Raises:
        ForeignFileError: It is not a results file of `--model circuit`.
        ResultFileError: It is damaged.
    """
    return _runs(path, read_log(path))


def _runs(path: Path, data: Any) -> tuple[Run, ...]:
    """The runs of a file's content."""
    in_log = is_log(data)
    if in_log:
        try:
            data = as_results(data)
        except OtherLogError as error:
            raise ForeignFileError(str(error)) from error
    checksum.check(data)
    top = Fields(data, "the file")
    if not isinstance(data, dict) or "results" not in data or "config" not in data:
        raise ForeignFileError("not a results file of lm-eval: no `results` and `config` in it")
    config = top.child("config")
    if "circuit" not in config.data:
        raise ForeignFileError("a results file of lm-eval, but not of --model circuit")
    tasks = config.child("circuit").child("tasks")
    if not tasks.data:
        raise ForeignFileError("no circuit task was run")
    runs = (read_run(path, top, task) for task in tasks.data)
    return tuple(replace(run, in_log=in_log) for run in runs)
