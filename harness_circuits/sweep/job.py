"""A cell that is ready to be run, and what became of it: plain values that go between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness_circuits.sweep.cell import Cell

Status = Literal["done", "present", "busy", "failed", "died"]


@dataclass(frozen=True)
class Setup:
    """What all jobs of a sweep share.

    Attributes:
        results: Folder of the results.
        tasks: Names of the tasks of all jobs.
        include_path: More folders with task files.
        metadata: lm-eval's `--metadata`.
        limit: Evaluation documents per task.
        artifacts: `all`, `examples` or `none`.
    """

    results: str
    tasks: tuple[str, ...]
    include_path: tuple[str, ...]
    metadata: dict[str, Any]
    limit: int | None
    artifacts: str = "all"

    def task_metadata(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """What tasks learn, as under `lm_eval`: the model's arguments, then `--metadata`."""
        return {**model, **self.metadata}


@dataclass(frozen=True)
class PlannedCell:
    """A planned cell.

    Attributes:
        cell: The cell.
        identity: Its hash.
        file: Its result, relative to the results folder.
        facts: What goes into the result's `config.sweep` beside the identity.
        cost: Estimated floating-point operations; 0 if unknown.
        overhead: Estimated seconds beside them.
    """

    cell: Cell
    identity: str
    file: str
    facts: dict[str, Any]
    cost: float = 0.0
    overhead: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        status: `done`; `present`, another sweep finished it; `busy`, another sweep is at it;
            `failed`, with an error; `died`, its process ended.
        seconds: Time it took.
        error: One line.
        details: The traceback.
    """

    status: Status
    seconds: float = 0.0
    error: str = ""
    details: str = ""
