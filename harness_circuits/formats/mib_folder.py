"""The folder that one submits to the MIB leaderboard (Mueller et al. 2025, arXiv 2504.13151).

    SUBMISSION/
      ioi_gpt2/importances.json          one folder per task and model, `task_model`,
      arc-easy_llama3/importances.json   hyphens inside the task's name

A folder holds either one importance file or nine binary circuits, which keep at most .1, .2, .5, 1,
2, 5, 10, 20 and 50% of the edges (MIB-circuit-track, "Submitting to the MIB Leaderboard"). JSON or
`.pt`. At least two models and two tasks are asked for.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.errors import CircuitFileError, OptionError, shown
from harness_circuits.formats import save_circuit_file

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
class Cell:
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
    def parse(cls, name: str) -> Cell:
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


Contribution = Scores | Mapping[float, Circuit]


def check_submission(cells: Mapping[Cell, Contribution]) -> list[str]:
    """Check what is to be submitted.

    Returns:
        Warnings: what the leaderboard may refuse.

    Raises:
        OptionError: There is nothing.
        CircuitFileError: Circuits are not the nine sizes, or larger than their size allows.
    """
    if not cells:
        raise OptionError("There is nothing to export.")
    for cell, contribution in cells.items():
        if not isinstance(contribution, Scores):
            _check_circuits(cell, contribution)
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
    folder: Path, cells: Mapping[Cell, Contribution], file_format: str = "json"
) -> Path:
    """Write a submission, all or nothing.

    Args:
        folder: A folder that does not exist yet.
        cells: Importances, or circuits per size, of each cell.
        file_format: `json` or `pt`.

    Raises:
        OptionError: The folder exists, or the format is unknown.
        CircuitFileError: Something cannot be written in MIB's format.
    """
    if file_format not in FORMATS:
        raise OptionError(f"Unknown format {shown(file_format)}. Known: {', '.join(FORMATS)}.")
    if folder.exists():
        raise OptionError(f"{folder} exists already; name a new folder.")
    check_submission(cells)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for cell, contribution in cells.items():
            for name, item in _files(contribution).items():
                save_circuit_file(building / cell.folder / f"{name}.{file_format}", item)
        building.chmod((building / cell.folder).stat().st_mode)
        os.rename(building, folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return folder


def _files(contribution: Contribution) -> dict[str, Scores | Circuit]:
    if isinstance(contribution, Scores):
        return {"importances": contribution}
    return {f"circuit_{size:g}": circuit for size, circuit in sorted(contribution.items())}


def _check_circuits(cell: Cell, circuits: Mapping[float, Circuit]) -> None:
    if sorted(circuits) != list(SIZES):
        raise CircuitFileError(
            f"{cell.folder}: MIB asks for circuits of the nine sizes "
            f"{', '.join(f'{size:g}' for size in SIZES)}; got "
            f"{', '.join(f'{size:g}' for size in sorted(circuits)) or 'none'}."
        )
    for size, circuit in circuits.items():
        allowed = size * circuit.space.graph.n_edges
        if circuit.weighted_edges > allowed:
            raise CircuitFileError(
                f"{cell.folder}: the circuit of size {size:g} keeps {circuit.weighted_edges:g} "
                f"edges; MIB allows {allowed:g} ({size:.1%} of {circuit.space.graph.n_edges})."
            )
