"""What long runs have found so far, kept so that the same command goes on where it was stopped.

    FOLDER/<task>/scores-<id>.safetensors     what was discovered on the task
    FOLDER/<task>/circuits-<id>.safetensors   the circuits that were selected from it
    FOLDER/<task>/values-<id>.safetensors     values per pair of some circuits on it
    FOLDER/<task>/SHA256SUMS                  their checksums

An id is a hash of everything that the numbers depend on, so that nothing of other settings, pairs or
weights is ever taken. What is damaged is made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats import read_circuits, read_scores, write_circuits, write_scores
from harness_circuits.machine.files import (
    check_checksum,
    check_writable,
    sweep_up,
    write_atomically,
    write_checksums,
)
from harness_circuits.machine.outgoing import path_part

T = TypeVar("T")
Values = Mapping[str, np.ndarray]
Say = Callable[[str], None]


class Kept:
    """The files of one matrix, or of evidence; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, say: Say) -> None:
        """Make sure that something can be kept, and remove what killed writes have left.

        Raises:
            WriteError: The folder cannot be written.
        """
        self.folder, self.say = folder, say
        if folder is not None:
            check_writable(folder)
            sweep_up(folder)

    def scores(self, task: str, identity: str, make: Callable[[], Scores]) -> Scores:
        """Scores of a task: those that were kept, or those that `make` makes."""
        return self._once(task, f"scores-{identity}", read_scores, _write_scores, make)

    def circuits(
        self, task: str, identity: str, make: Callable[[], Sequence[Circuit]]
    ) -> Sequence[Circuit]:
        """Circuits of a task in their order."""
        return self._once(task, f"circuits-{identity}", _read_circuits, _write_circuits, make)

    def values(self, task: str, identity: str, make: Callable[[], Values]) -> Values:
        """Arrays of values on a task's pairs."""
        return self._once(task, f"values-{identity}", _read_values, _write_values, make)

    def put(self, task: str, identity: str, values: Values) -> None:
        """Keep arrays of values, in the place of what may be there."""
        if self.folder is not None:
            _put(self._path(task, f"values-{identity}"), _write_values, values)

    def all_values(self, task: str, prefix: str) -> Iterator[Values]:
        """All undamaged arrays of values whose identity begins with a prefix."""
        if self.folder is None:
            return
        for path in sorted((self.folder / path_part(task)).glob(f"values-{prefix}*.safetensors")):
            try:
                check_checksum(path)
                yield _read_values(path)
            except CircuitFileError as error:
                self.say(f"{error} It is made again.")

    def _once(
        self,
        task: str,
        name: str,
        read: Callable[[Path], T],
        write: Callable[[Path, T], object],
        make: Callable[[], T],
    ) -> T:
        if self.folder is None:
            return make()
        path = self._path(task, name)
        if path.is_file():
            try:
                check_checksum(path)
                found = read(path)
            except CircuitFileError as error:
                self.say(f"{error} It is made again.")
            else:
                self.say(f"found before: {path}")
                return found
        found = make()
        _put(path, write, found)
        return found

    def _path(self, task: str, name: str) -> Path:
        assert self.folder is not None
        return self.folder / path_part(task) / f"{name}.safetensors"


def _put(path: Path, write: Callable[[Path, T], object], found: T) -> None:
    write(path, found)
    write_checksums(path.parent, [other.name for other in path.parent.glob("*.safetensors")])


def _write_scores(path: Path, scores: Scores) -> None:
    write_scores(path, scores)


def _read_circuits(path: Path) -> Sequence[Circuit]:
    found = read_circuits(path)
    return [found[str(at)] for at in range(len(found))]


def _write_circuits(path: Path, circuits: Sequence[Circuit]) -> None:
    write_circuits(path, {str(at): circuit for at, circuit in enumerate(circuits)})


def _read_values(path: Path) -> Values:
    try:
        return load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise CircuitFileError(f"{path} cannot be read: {error}.") from error


def _write_values(path: Path, values: Values) -> None:
    write_atomically(path, save({name: np.ascontiguousarray(x) for name, x in values.items()}))
