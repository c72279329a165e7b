"""What a sweep leaves in its results folder, and how two sweeps share one.

    results/<model>/<task>/<cell>.json      the result of lm-eval, written whole or not at all
    results/<model>/<task>/<cell>/          its artifacts
    results/.sweep/failures/<id>.jsonl      the error of a cell that failed last time
    results/.sweep/locks/<id>.lock          held, by the operating system, while a cell is running

A lock goes with its process, however that ends, so nothing has to be cleaned up after a kill.
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

from harness_circuits.circuits.scores import write_atomically

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

    @contextmanager
    def claim(self, identity: str) -> Iterator[bool]:
        """Hold a cell while it is running; yields False if another process holds it."""
        path = self.root / FOLDER / "locks" / f"{identity}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def has_result(self, file: str, identity: str) -> bool:
        """Whether a file (relative to the folder) is the whole result of a cell."""
        try:
            data = json.loads((self.root / file).read_text(encoding="utf-8"))
            return bool(data["config"]["sweep"]["identity"] == identity and data["results"])
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def write_result(self, file: str, results: dict[str, Any]) -> None:
        """Write a result, as lm-eval writes them, under its final name only when it is whole."""
        from lm_eval.utils import handle_non_serializable

        text = json.dumps(results, indent=2, default=handle_non_serializable, ensure_ascii=False)
        write_atomically(self.root / file, text.encode())

    def write_failure(self, failure: Failure) -> None:
        """Record a failure in place of an earlier one of the same cell."""
        stamped = asdict(failure) | {"when": time.time()}
        write_atomically(self._failure(failure.identity), json.dumps(stamped).encode() + b"\n")

    def clear_failure(self, identity: str) -> None:
        """Forget a failure, after success."""
        self._failure(identity).unlink(missing_ok=True)

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
