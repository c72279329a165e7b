"""What one file holds, by the names of `FILE#NAME`, and which of it is read.

A file of EAP-IG or MIB may hold scores and a circuit: every edge has a score and a flag `in_graph`,
and EAP-IG's own evaluation runs the flagged edges, while MIB's selects anew by the scores. Here the
scores are read unless `FILE#in_graph` asks for the circuit. Which of both was read is said; the
circuit stays with the scores (`Scores.circuit`) and is written with them.

EAP-IG and MIB put a first token before every prompt, and files that they wrote come from such
prompts: `FIRST_TOKEN` is said of these, and of no file of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import CircuitFileError, UnknownNameError, shown
from harness_circuits.options.paths import read_path

logger = logging.getLogger("lm_eval.circuit")

SCORES, IN_GRAPH = "scores", "in_graph"

FIRST_TOKEN = (
    "scores and circuits of EAP-IG and MIB come from prompts with a first token (BOS, else EOS) "
    "before them; compat=mib or add_bos_token=true reads prompts so"
)

Name = TypeVar("Name")
Content = TypeVar("Content")


class Read(dict[Name, Content]):
    """What was read, by name.

    Attributes:
        foreign: Whether EAP-IG or MIB wrote it, and not this package.
    """

    def __init__(self, found: Mapping[Name, Content], *, foreign: bool) -> None:
        super().__init__(found)
        self.foreign = foreign


Parts = Read[str, Callable[[], Scores | Circuit]]


@dataclass(frozen=True)
class Loaded:
    """What was chosen of a file.

    Attributes:
        item: Importances, or a binary circuit.
        foreign: As of `Read`.
    """

    item: Scores | Circuit
    foreign: bool


class Format(Protocol):
    """A module that reads and writes one kind of file."""

    def read(self, path: Path, graph: Graph | None) -> Parts:
        """Check a file, and return what it holds; each part is built when it is called."""

    def write(self, path: Path, item: Scores | Circuit) -> Path:
        """Write scores (with their circuit, if they have one) or a circuit, atomically."""


def split(path: str | Path) -> tuple[Path, str | None]:
    """A file, and the part named after `#`, unless that belongs to the file's own name."""
    whole = read_path(path, "FILE", "a circuit file")
    text, sign, name = str(whole).rpartition("#")
    if not sign or whole.exists():
        return whole, None
    return Path(text), name


def choose(path: Path, parts: Parts, name: str | None) -> Scores | Circuit:
    """The part of a name; without one the scores, or all that there is.

    Scores that are read without a name bring the file's circuit along, and a warning says so.

    Raises:
        CircuitFileError: The part contradicts itself.
        UnknownNameError: There is no such part, or several circuits and no name was given.
    """
    if name is None and {SCORES, IN_GRAPH} <= set(parts):
        return _both(path, parts)
    if name is None and len(parts) == 1:
        (name,) = parts
    if name is None or name not in parts:
        what = "circuits"
        if {SCORES, IN_GRAPH} & set(parts):
            what = "part" if len(parts) == 1 else "parts"
        got = "" if name is None else f" (got {shown(name)})"
        raise UnknownNameError(
            f"{path} has {len(parts)} {what}; choose one as FILE#NAME, NAME being one of "
            f"{', '.join(parts)}{got}."
        )
    return parts[name]()


def _both(path: Path, parts: Parts) -> Scores:
    scores = parts[SCORES]()
    try:
        circuit = parts[IN_GRAPH]()
    except CircuitFileError as error:
        raise CircuitFileError(f"{error} {path}#{SCORES} reads its scores alone.") from error
    assert isinstance(scores, Scores) and isinstance(circuit, Circuit)
    scores = replace(scores, circuit=circuit)
    logger.warning("%s: %s", path, what_was_read(scores, str(path)))
    return scores


def what_was_read(scores: Scores | None, file: str) -> str | None:
    """What results say of scores that stand in a file beside a circuit; None of all others.

    Args:
        scores: What was read.
        file: The file, as `circuit=` names it.
    """
    if scores is None or scores.circuit is None:
        return None
    circuit = scores.circuit
    space, n = circuit.space, circuit.n_kept
    return (
        f"{n} of {space.n_units} {space.level}s are marked {IN_GRAPH}; the file has scores, which "
        f"are used: circuit={file}#{IN_GRAPH} evaluates the {n} {space.level}s"
    )
