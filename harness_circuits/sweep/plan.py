"""From a grid to jobs: reads every model's tokenizer and builds every task, but loads no weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_circuits.harness.task_lookup import task_manager
from harness_circuits.loading.load import load_reader
from harness_circuits.sweep.axes import model_label
from harness_circuits.sweep.cell import Cell
from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.cost import cell_cost, cell_overhead, model_size
from harness_circuits.sweep.grid import make_grid
from harness_circuits.sweep.identity import (
    cell_identity,
    model_fingerprint,
    unplanned_identity,
)
from harness_circuits.sweep.job import PlannedCell, Setup
from harness_circuits.sweep.runner import one_line
from harness_circuits.sweep.state import Failure, State
from harness_circuits.sweep.tasks import TaskFacts, task_facts
from harness_circuits.task_data.scorer import Scorer

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager


@dataclass(frozen=True)
class Plan:
    """What a sweep has to do.

    Attributes:
        setup: What all jobs share.
        jobs: Cells to run.
        present: Cells that have a result.
        refused: Cells that cannot be run, with the reason.
    """

    setup: Setup
    jobs: tuple[PlannedCell, ...]
    present: tuple[PlannedCell, ...]
    refused: tuple[tuple[Cell, Failure], ...]


def make_plan(config: SweepConfig, results: str | None = None) -> Plan:
    """Plan a sweep.

    Args:
        config: The sweep.
        results: Folder of the results; by default the configuration's.

    Raises:
        OptionError: The grid is empty, or an `exclude` rule matches nothing.
    """
    cells = make_grid(config)
    tasks = tuple(dict.fromkeys(cell.task for cell in cells))
    folder = results or config.results
    setup = Setup(
        folder, tasks, config.include_path, config.task_metadata, config.limit, config.artifacts
    )
    state, reader = State(Path(folder)), _Reader(setup)
    jobs: list[PlannedCell] = []
    present: list[PlannedCell] = []
    refused: list[tuple[Cell, Failure]] = []
    for cell in cells:
        try:
            job = reader.job(cell)
        except Exception as error:
            failure = Failure(unplanned_identity(cell), cell.label, one_line(error))
            refused.append((cell, failure))
            continue
        (present if state.has_result(job.file, job.identity) else jobs).append(job)
    setup = replace(setup, tasks=tuple(dict.fromkeys(job.cell.task for job in jobs)))
    return Plan(setup, tuple(jobs), tuple(present), tuple(refused))


class _Reader:
    """Reads each model and each task once; what failed once fails again with the same error."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._known: dict[Any, Any] = {}

    def job(self, cell: Cell) -> PlannedCell:
        """Make a cell's job.

        Raises:
            Exception: Its options, model or task cannot be used.
        """
        _ = cell.settings
        model = self._once(("model", _key(cell)), lambda: model_fingerprint(cell.model))
        metrics = cell.settings.metric_names  # they decide which pairs a task has
        task = self._once(
            ("task", cell.task, metrics, cell.settings.compat, _key(cell)), lambda: self._task(cell)
        )
        size = self._once(("size", _key(cell)), lambda: model_size(cell.model))
        identity = cell_identity(cell, model, task.fingerprint, self.setup.limit)
        facts = {"model_fingerprint": model, "documents": task.fingerprint}
        cost = 0.0 if size is None else cell_cost(cell.settings, size, task)
        overhead = 0.0 if size is None else cell_overhead(size)
        return PlannedCell(cell, identity, file_name(cell, identity), facts, cost, overhead)

    def _task(self, cell: Cell) -> TaskFacts:
        reader = self._once(("reader", _key(cell)), lambda: load_reader(cell.model))
        if cell.settings.compat == "mib":
            reader = reader.with_first_token()
        scorer = Scorer(
            reader, cell.settings.metric_names, positions=cell.settings.prompt_positions
        )
        return task_facts(self._manager(cell), cell.task, self.setup.limit, scorer)

    def _manager(self, cell: Cell) -> TaskManager:
        setup, metadata = self.setup, self.setup.task_metadata(cell.model)
        return self._once(
            ("manager", _key(cell)),
            lambda: task_manager(setup.tasks, setup.include_path, metadata),
        )

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._known:
            try:
                self._known[key] = make()
            except Exception as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, Exception):
            raise found
        return found


def _key(cell: Cell) -> str:
    return repr(sorted(cell.model.items()))


def file_name(cell: Cell, identity: str) -> str:
    """A cell's result, relative to the results folder: readable, and made unique by the identity."""
    settings = cell.settings
    parts = [settings.method, settings.level, settings.ablation, settings.selection]
    name = "_".join([*parts, f"seed{settings.seed}", identity[:12]])
    model = model_label(cell.model.get("pretrained"))
    return "/".join((_plain(model), _plain(cell.task), f"{_plain(name)}.json"))


def _plain(name: str) -> str:
    """A name that is a file name anywhere."""
    plain = re.sub(r"[^\w.+-]+", "__", name)
    return plain if plain.strip(".") else f"_{plain}"
