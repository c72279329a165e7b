"""Circuit files in and out: our own safetensors, and the JSON and `.pt` files of EAP-IG and MIB.

Loading runs no code from a file, reads nothing larger than the graph needs, and refuses whatever it
does not understand with a `CircuitFileError` that says what and where.
"""

from __future__ import annotations

from pathlib import Path

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats.content import interpret, lay_out
from harness_circuits.formats.eapig_json import read_json, write_json
from harness_circuits.formats.eapig_pt import read_pt, write_pt
from harness_circuits.formats.groups import expressible, fit
from harness_circuits.formats.own import (
    read_circuits,
    read_native,
    read_scores,
    write_circuits,
    write_scores,
)

SUFFIXES = (".json", ".pt", ".safetensors")
SCORES_FILE, CIRCUITS_FILE = "scores.safetensors", "circuits.safetensors"  # of a task's artifacts

__all__ = [
    "CIRCUITS_FILE",
    "SCORES_FILE",
    "SUFFIXES",
    "expressible",
    "load_circuit_file",
    "read_circuits",
    "read_scores",
    "save_circuit_file",
    "write_circuits",
    "write_scores",
]


def load_circuit_file(path: str | Path, graph: Graph | None = None) -> Scores | Circuit:
    """Read scores or a circuit from a file, by its suffix.

    Args:
        path: A `.json` or `.pt` file of EAP-IG or MIB, or a `.safetensors` file of ours. One
            circuit of several in such a file is `circuits.safetensors#absolute@0.05`.
        graph: The model's graph, which the file must be for. None accepts any.

    Returns:
        Importances, or a binary circuit, over `graph`.

    Raises:
        CircuitFileError: The file is missing, malformed, unsafe, too large, or another model's.
        UnknownNameError: The file has several circuits, and none of the given name.
    """
    file, name = _split(path)
    if file.suffix not in SUFFIXES:
        raise CircuitFileError(
            f"{file}: a circuit file ends in {', '.join(SUFFIXES)}, not {file.suffix!r}."
        )
    if file.suffix == ".safetensors":
        return fit(file, read_native(file, name), graph)
    if name is not None:
        raise CircuitFileError(f"{file} holds one circuit; #{name} is only for .safetensors files.")
    content = (read_json if file.suffix == ".json" else read_pt)(file, graph)
    return fit(file, interpret(file, content), graph)


def save_circuit_file(path: str | Path, item: Scores | Circuit) -> Path:
    """Write scores or a circuit, by the suffix: `.json` and `.pt` as EAP-IG and MIB read them.

    Raises:
        CircuitFileError: Edge scores over grouped key/value heads in a format that has none, or an
            unknown suffix.
    """
    path = Path(path)
    if path.suffix == ".json":
        return write_json(path, lay_out(item))
    if path.suffix == ".pt":
        return write_pt(path, lay_out(item))
    if path.suffix != ".safetensors":
        raise CircuitFileError(
            f"{path}: a circuit file ends in {', '.join(SUFFIXES)}, not {path.suffix!r}."
        )
    if isinstance(item, Scores):
        return write_scores(path, item)
    return write_circuits(path, {"circuit": item})


def _split(path: str | Path) -> tuple[Path, str | None]:
    """A file, and the circuit named after `#`, unless that is part of the file's name."""
    whole = Path(path).expanduser()
    text, sign, name = str(whole).rpartition("#")
    if not sign or whole.exists():
        return whole, None
    return Path(text), name
