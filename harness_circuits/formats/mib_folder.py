"""The folder that one submits to the MIB leaderboard (Mueller et al. 2025, arXiv 2504.13151).

    SUBMISSION/
      ioi_gpt2/importances.json          one folder per task and model, `task_model`,
      arc-easy_llama3/importances.json   hyphens inside the task's name

A folder holds either one importance file or nine binary circuits, which keep at most .1, .2, .5, 1,
2, 5, 10, 20 and 50% of the edges (MIB-circuit-track, "Submitting to the MIB Leaderboard"). JSON or
`.pt`. At least two models and two tasks are asked for. Circuits by both rankings stand in folders
`abs-True` (by |score|, scored for CMD) and `abs-False` (by signed score, scored for CPR) within the
cell's folder, nine in each; without these, the same nine are scored for both.

MIB evaluates nine circuits (`mttk/MIB-circuit-track-autoeval`) by what they keep, whatever their
scores: it sorts them by their number of edges, takes them for the nine sizes above, and adds the
whole model, whose faithfulness is 1. `read_cell` reads them so.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import HIDDEN_UNITS, Scores
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.errors import CircuitFileError, OptionError, shown
from harness_circuits.formats import load_file, save_circuit_file
from harness_circuits.formats.parts import IN_GRAPH, Read
from harness_circuits.machine.files import rename_folder, writing

SIZES = MIB_SIZES[:-1]
TASKS = (
    "ioi",
    "mcqa",
    "arithmetic-addition",
    "arithmetic-subtraction",
    "arc-easy",
    "arc-challenge",
)
# What MIB calls a model: the last part of its name on the Hub, in lower case.
MODELS = {
    "gpt2": "gpt2",
    "gpt2-small": "gpt2",
    "qwen2.5-0.5b": "qwen2.5",
    "gemma-2-2b": "gemma2",
    "llama-3.1-8b": "llama3",
}
FORMATS = ("json", "pt")


@dataclass(frozen=True, order=True)
class MibCell:
    """One task on one model, under MIB's names.

    Attributes:
        task: For example `arc-easy`; underscores become hyphens.
        model: For example `qwen2.5`.
    """

    task: str
    model: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", self.task.replace("_", "-"))
        for part in (self.task, self.model):
            if not part or "_" in part or part.startswith(".") or {"/", "\\"} & set(part):
                raise OptionError(
                    f"{self.task}_{self.model} is no folder name of the kind TASK_MODEL, such as "
                    "ioi_gpt2 or arc-easy_llama3."
                )

    @classmethod
    def parse(cls, name: str) -> MibCell:
        """Read a folder's name, `ioi_gpt2`.

        Raises:
            OptionError: It is not of that form.
        """
        task, _, model = name.rpartition("_")
        return cls(task, model)

    @property
    def folder(self) -> str:
        """Name of the cell's folder."""
        return f"{self.task}_{self.model}"


Circuits = Mapping[float, Circuit]
Contribution = Scores | Circuits | Mapping[Ranking, Circuits]
RANKING_FOLDERS = {"abs-True": Ranking.ABSOLUTE, "abs-False": Ranking.SIGNED}


def curves_of(contribution: Contribution) -> dict[str, Circuits]:
    """Circuits of a contribution, by the folder within the cell's; none of importances."""
    if isinstance(contribution, Scores):
        return {}
    by_ranking: dict[Any, Any] = dict(contribution)
    if set(Ranking) & set(by_ranking):
        return {name: by_ranking.get(ranking, {}) for name, ranking in RANKING_FOLDERS.items()}
    return {"": by_ranking}


def check_submission(cells: Mapping[MibCell, Contribution]) -> list[str]:
    """Check what is to be submitted.

    Returns:
        Warnings: what the leaderboard may refuse.

    Raises:
        OptionError: There is nothing.
        CircuitFileError: Circuits are not the nine sizes, larger than their size allows, or of
            units that MIB does not know.
    """
    if not cells:
        raise OptionError("There is nothing to export.")
    for cell, contribution in cells.items():
        curves = curves_of(contribution)
        several = [circuit.space for circuits in curves.values() for circuit in circuits.values()]
        spaces = [contribution.space] if isinstance(contribution, Scores) else several
        if any(space.level == HIDDEN_UNITS for space in spaces):
            raise CircuitFileError(
                f"{cell.folder}: MIB has no hidden units of MLPs (level={HIDDEN_UNITS}); submit edges, "
                "nodes or neurons."
            )
        for name, circuits in curves.items():
            _check_circuits(f"{cell.folder}/{name}".rstrip("/"), circuits)
    warnings = []
    for what in ("model", "task"):
        names = sorted({getattr(cell, what) for cell in cells})
        if len(names) < 2:
            warnings.append(
                f"MIB asks for at least 2 {what}s; there is only {names[0]}. Export more into one "
                "folder."
            )
    known = {"model": set(MODELS.values()) | {"interpbench"}, "task": set(TASKS)}
    for cell in cells:
        warnings += [
            f"{cell.folder}: MIB has no {what} {shown(getattr(cell, what))} (it has "
            f"{', '.join(sorted(names))})."
            for what, names in known.items()
            if getattr(cell, what) not in names
        ]
    return warnings


def write_submission(
    folder: Path, cells: Mapping[MibCell, Contribution], file_format: str = "json"
) -> Path:
    """Write a submission, all or nothing.

    Args:
        folder: A folder that does not exist yet.
        cells: Importances, or circuits per size, of each cell.
        file_format: `json` or `pt`.

    Raises:
        OptionError: The folder exists, or the format is unknown.
        CircuitFileError: Something cannot be written in MIB's format.
        WriteError: The folder cannot be written; nothing of it is left.
    """
    if file_format not in FORMATS:
        raise OptionError(f"Unknown format {shown(file_format)}. Known: {', '.join(FORMATS)}.")
    if folder.exists():
        raise OptionError(f"{folder} exists already; name a new folder.")
    check_submission(cells)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            for cell, contribution in cells.items():
                for name, item in _files(contribution).items():
                    save_circuit_file(building / cell.folder / f"{name}.{file_format}", item)
            building.chmod((building / cell.folder).stat().st_mode)
            rename_folder(building, folder)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return folder


def _files(contribution: Contribution) -> dict[str, Scores | Circuit]:
    if isinstance(contribution, Scores):
        return {"importances": contribution}
    return {
        f"{folder}/circuit_{size:g}".lstrip("/"): circuit
        for folder, circuits in curves_of(contribution).items()
        for size, circuit in sorted(circuits.items())
    }


def read_cell(folder: Path, graph: Graph) -> Path | Read[Ranking, dict[float, Circuit]]:
    """One cell's folder of a submission, of anybody's.

    Args:
        folder: The folder.
        graph: The model's graph.

    Returns:
        The importance file, if it is the only file; or, per ranking, circuits by size, the whole
        model among them as the largest.

    Raises:
        CircuitFileError: It holds neither one file nor nine circuits, or a circuit is too large.
    """
    names = [name for name in RANKING_FOLDERS if (folder / name).is_dir()]
    files = _files_in(folder)
    if names:
        if files or len(names) != len(RANKING_FOLDERS):
            raise CircuitFileError(
                f"{folder}: circuits by both rankings stand in {' and '.join(RANKING_FOLDERS)}, and "
                f"nowhere else; got {', '.join(names)} and {len(files)} files."
            )
        read = {
            ranking: _read_nine(folder / name, graph) for name, ranking in RANKING_FOLDERS.items()
        }
        foreign = any(nine.foreign for nine in read.values())
        return Read({ranking: dict(nine) for ranking, nine in read.items()}, foreign=foreign)
    if len(files) == 1:
        return files[0]
    nine = _read_nine(folder, graph)
    return Read({ranking: dict(nine) for ranking in Ranking}, foreign=nine.foreign)


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".json", ".pt"))


def _read_nine(folder: Path, graph: Graph) -> Read[float, Circuit]:
    files = _files_in(folder)
    if len(files) != len(SIZES):
        raise CircuitFileError(
            f"{folder} has {len(files)} .json and .pt files; MIB's folders hold one file of "
            f"importances, or {len(SIZES)} circuits."
        )
    loaded = [load_file(f"{file}#{IN_GRAPH}", graph) for file in files]
    found = [one.item for one in loaded if isinstance(one.item, Circuit)]  # as all are: `in_graph`
    levels = sorted({circuit.space.level for circuit in found})
    if len(levels) > 1:
        raise CircuitFileError(f"{folder} mixes circuits of levels {', '.join(levels)}.")
    found.sort(key=lambda circuit: circuit.weighted_edges)
    circuits = dict(zip(SIZES, found, strict=True))
    _check_circuits(str(folder), circuits)
    circuits[MIB_SIZES[-1]] = Circuit.full(found[0].space)
    return Read(circuits, foreign=any(one.foreign for one in loaded))


def _check_circuits(where: str, circuits: Circuits) -> None:
    if sorted(circuits) != list(SIZES):
        raise CircuitFileError(
            f"{where}: MIB asks for circuits of the nine sizes "
            f"{', '.join(f'{size:g}' for size in SIZES)}; got "
            f"{', '.join(f'{size:g}' for size in sorted(circuits)) or 'none'}."
        )
    for size, circuit in circuits.items():
        allowed = size * circuit.space.graph.n_edges
        if circuit.weighted_edges > allowed:
            raise CircuitFileError(
                f"{where}: the circuit of size {size:g} keeps {circuit.weighted_edges:g} "
                f"edges; MIB allows {allowed:g} ({size:.1%} of {circuit.space.graph.n_edges})."
            )
