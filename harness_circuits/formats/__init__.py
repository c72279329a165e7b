"""Circuit files in and out: our own safetensors, and the JSON and `.pt` files of EAP-IG and MIB.

Loading runs no code from a file, reads nothing larger than the graph needs, and refuses whatever it
does not understand with a `CircuitFileError` that says what and where.
"""

from __future__ import annotations

import logging
from pathlib import Path

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import CircuitFileError, shown
from harness_circuits.formats import eapig_json, eapig_pt, own
from harness_circuits.formats.checks import check_is_there
from harness_circuits.formats.groups import expressible, fit
from harness_circuits.formats.own import (
    read_circuits,
    read_scores,
    write_circuits,
    write_scores,
)
from harness_circuits.formats.parts import FIRST_TOKEN, Format, Loaded, choose, split
from harness_circuits.options.paths import read_path

FORMATS: dict[str, Format] = {".json": eapig_json, ".pt": eapig_pt, ".safetensors": own}
logger = logging.getLogger("lm_eval.circuit")
SUFFIXES = tuple(FORMATS)
SCORES_FILE, CIRCUITS_FILE = "scores.safetensors", "circuits.safetensors"  # of a task's artifacts

__all__ = [
    "CIRCUITS_FILE",
    "FORMATS",
    "SCORES_FILE",
    "SUFFIXES",
    "check_suffix",
    "expressible",
    "load_circuit_file",
    "load_file",
    "read_circuits",
    "read_scores",
    "save_circuit_file",
    "write_circuits",
    "write_scores",
]


def load_circuit_file(path: str | Path, graph: Graph | None = None) -> Scores | Circuit:
    """Read scores or a circuit from a file, by its suffix.

    Of a file of EAP-IG or MIB a warning says that its prompts had a first token.

    Args:
        path: A `.json` or `.pt` file of EAP-IG or MIB, or a `.safetensors` file of ours. Of a file
            with scores and a circuit the scores are read, with a warning; `FILE#in_graph` is its
            circuit, `FILE#scores` its scores alone. One circuit of several in a file of ours is
            `circuits.safetensors#absolute@0.05`.
        graph: The model's graph, which the file must be for. None accepts any.

    Returns:
        Importances, or a binary circuit, over `graph`.

    Raises:
        CircuitFileError: The file is missing, malformed, unsafe, too large, or another model's.
        UnknownNameError: The file has nothing of the given name, or several circuits.
    """
    loaded = load_file(path, graph)
    if loaded.foreign:
        logger.warning("%s: %s", path, FIRST_TOKEN)
    return loaded.item


def load_file(path: str | Path, graph: Graph | None = None) -> Loaded:
    """The same without the warning, and who wrote it."""
    file, name = split(path)
    check_is_there(file)
    parts = _format(file).read(file, graph)
    return Loaded(fit(file, choose(file, parts, name), graph), parts.foreign)


def save_circuit_file(path: str | Path, item: Scores | Circuit) -> Path:
    """Write scores or a circuit, by the suffix: `.json` and `.pt` as EAP-IG and MIB read them.

    Scores that have a circuit (`Scores.circuit`) are written with it, as `in_graph`.

    Raises:
        CircuitFileError: Edge scores over grouped key/value heads in a format that has none, or an
            unknown suffix.
    """
    path = read_path(path, "FILE", "a circuit file")
    return _format(path).write(path, item)


def check_suffix(path: Path) -> None:
    """Refuse a file whose name is none of a circuit file.

    Raises:
        CircuitFileError: It is not.
    """
    if path.suffix not in FORMATS:
        raise CircuitFileError(
            f"{path}: a circuit file ends in {', '.join(SUFFIXES)}, not {shown(path.suffix)}."
        )


def _format(path: Path) -> Format:
    check_suffix(path)
    return FORMATS[path.suffix]
