"""What a sweep leaves in its results folder, and how two sweeps share one.

    results/<model>/<task>/<cell>.json      the result of lm-eval, written whole or not at all
    results/<model>/<task>/<cell>/          its artifacts
    results/.sweep/failures/<id>.jsonl      the error of a cell that failed last time
    results/.sweep/locks/<id>.lock          held, by the operating system, while a cell is running

A lock goes with its process, however that ends. Temporary files of writes that were killed are removed
at the next start. A result holds a checksum of itself (`records.checksum`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness_circuits.errors import OptionError
from harness_circuits.machine.files import (
    check_writable,
    remove,
    sweep_up,
    write_atomically,
    writing,
)
from harness_circuits.records import checksum
from harness_circuits.records.fields import ResultFileError

FOLDER = ".sweep"


@dataclass(frozen=True)
class Failure:
    """Why a cell has no result.

    Attributes:
        identity: The cell's identity.
        label: What people call it.
        error: One line.
        details: The traceback, if there was one.
        attempts: How often it was tried in a row.
        when: Seconds since 1970.
    """

    identity: str
    label: str
    error: str
    details: str = ""
    attempts: int = 1
    when: float = 0.0


@dataclass(frozen=True)
class State:
    """The state in one results folder."""

    root: Path

    def prepare(self) -> None:
        """Make sure that results can be written, and remove what killed writes have left.

        Raises:
            OptionError: They cannot.
        """
        try:
            check_writable(self.root / FOLDER)
        except OSError as error:
            raise OptionError(f"results={self.root}: {error}") from error
        sweep_up(self.root)

    @contextmanager
    def claim(self, identity: str) -> Iterator[bool]:
        """Hold a cell while it is running; yields False if another process holds it.

        Raises:
            WriteError: Results cannot be written, which a cell should not find out at its end.
        """
        path = self.root / FOLDER / "locks" / f"{identity}.lock"
        check_writable(self.root / FOLDER)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:  # which is an OSError
                ours = False
            else:
                ours = True
        try:
            yield ours
        finally:
            if ours:
                lock.release()

    def has_result(self, file: str, identity: str) -> bool:
        """Whether a file (relative to the folder) is the whole result of a cell."""
        try:
            data = json.loads((self.root / file).read_text(encoding="utf-8"))
            checksum.check(data)
            return bool(data["config"]["sweep"]["identity"] == identity and data["results"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ResultFileError):
            return False

    def write_result(self, file: str, results: dict[str, Any]) -> None:
        """Write a result, as lm-eval writes them, under its final name only when it is whole."""
        from lm_eval.utils import handle_non_serializable

        checksum.sign(results)
        text = json.dumps(results, indent=2, default=handle_non_serializable, ensure_ascii=False)
        write_atomically(self.root / file, text.encode())

    def write_failure(self, failure: Failure) -> None:
        """Record a failure in place of an earlier one of the same cell."""
        stamped = asdict(failure) | {"when": time.time()}
        write_atomically(self._failure(failure.identity), json.dumps(stamped).encode() + b"\n")

    def clear_failure(self, identity: str) -> None:
        """Forget a failure, after success.

        Raises:
            WriteError: Its record cannot be removed.
        """
        remove(self._failure(identity))

    def failures(self) -> dict[str, Failure]:
        """Recorded failures by identity; a broken record counts as none."""
        found = {}
        for path in sorted((self.root / FOLDER / "failures").glob("*.jsonl")):
            try:
                failure = Failure(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                continue
            found[failure.identity] = failure
        return found

    def _failure(self, identity: str) -> Path:
        return self.root / FOLDER / "failures" / f"{identity}.jsonl"
