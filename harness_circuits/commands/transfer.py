"""`harness-circuits transfer`: circuits of each task on all tasks, from a sweep's file."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_circuits.commands.parser import CommandParser, text_argument
from harness_circuits.discovery import reader_in_force
from harness_circuits.errors import OptionError, TaskDataError, UnknownNameError
from harness_circuits.harness.task import CircuitTask
from harness_circuits.harness.task_lookup import task_manager
from harness_circuits.loading.load import load_model
from harness_circuits.machine.files import write_together
from harness_circuits.machine.interrupts import GO_ON, ended_by_signals
from harness_circuits.machine.outgoing import clean, clean_lines, path_part
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.options.paths import read_path
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.report.extras import needs_report
from harness_circuits.report.transfer import transfer_markdown
from harness_circuits.settings import Settings
from harness_circuits.sweep.cell import Cell
from harness_circuits.sweep.config import SweepConfig, read_config
from harness_circuits.sweep.grid import make_grid
from harness_circuits.sweep.tasks import unknown_task
from harness_circuits.sweep.transfer import TaskPairs, transfer
from harness_circuits.task_data.scorer import Scorer

if TYPE_CHECKING:
    from harness_circuits.records.transfer import Transfer

EPILOG = """
a transfer.yaml, which is a sweep.yaml (docs/sweeps.md) with two tasks or more:
  tasks: [ioi_circuit, greater_than_circuit, sva_circuit]
  methods: [EAP-IG-inputs]
  sizes: [0.05, 0.2]
  options: {n_discovery: 50, null_circuits: 5, ranking: absolute}
  limit: 50

All cells that differ in nothing but the task make one matrix: transfer/NAME.json, .md and .html in the
results folder. Discoveries and evaluations are kept in transfer/NAME as they come: start the same command
again to go on after an interruption.
"""


def transfer_command(arguments: Sequence[str]) -> None:
    """Run `harness-circuits transfer`.

    Raises:
        CircuitError: The file, a task or an option cannot be used.
    """
    parser = CommandParser(
        prog="harness-circuits transfer",
        description="Evaluate the circuit of each of several tasks on all of them.",
        epilog=EPILOG,
    )
    parser.add_argument("config", type=text_argument, help="YAML file of a sweep")
    parser.add_argument("--results", type=text_argument, help="folder (default: the file's)")
    options = parser.parse_args(arguments)
    config = read_config(options.config)
    groups = matrices(config)
    with needs_report():
        from harness_circuits.report.page import transfer_page
    folder = read_path(options.results or config.results, "results") / "transfer"
    for name, cells in groups:
        with ended_by_signals(GO_ON):
            found = run(cells, config, folder / path_part(name))
        page, text = transfer_page(found), transfer_markdown(found)
        data = json.dumps(found.to_dict(), indent=2).encode()
        files = {".json": data, ".md": clean_lines(text).encode(), ".html": page.encode()}
        written = {folder / f"{path_part(name)}{end}": content for end, content in files.items()}
        write_together(written)
        print(clean_lines(text))
        for path in written:
            print(clean(path))


def matrices(config: SweepConfig) -> list[tuple[str, list[Cell]]]:
    """Cells that differ in nothing but the task, with a name for them.

    Raises:
        OptionError: There is a single task, or options cannot be used together.
        UnknownNameError: A task is not there.
    """

    def others(cell: Cell) -> str:
        labels = (v.label for v in cell.values if v.axis not in ("task", "sizes"))
        return "_".join(label.replace(" ", "") for label in labels)  # it names files too

    cells = sorted(make_grid(config), key=others)
    known = task_manager({cell.task for cell in cells}, config.include_path, {}).all_tasks
    groups = [(name, list(group)) for name, group in groupby(cells, key=others)]
    for name, group in groups:
        for cell in group:
            if cell.task not in known:
                raise UnknownNameError(unknown_task(cell.task, known))
            _ = cell.settings
        if len(group) < 2:
            raise OptionError(f"tasks: {name} has one task; a transfer matrix needs two or more.")
    return groups


def run(cells: Sequence[Cell], config: SweepConfig, folder: Path) -> Transfer:
    """One matrix.

    Args:
        cells: A cell for each task.
        config: The sweep.
        folder: Where what is found is kept as it comes.

    Raises:
        CircuitError: The model or a task cannot be used.
    """
    arguments = {k: v for k, v in cells[0].model.items() if k != "batch_size"}
    model = load_model(**arguments)
    settings = cells[0].settings
    names = [cell.task for cell in cells]
    metadata = {**cells[0].model, **config.task_metadata}
    manager = task_manager(names, config.include_path, metadata)
    tasks = [_pairs(manager, name, model, settings, config.limit) for name in names]

    def say(text: str) -> None:
        print(clean(text), file=sys.stderr, flush=True)

    return transfer(model, tasks, settings, say, folder)


def _pairs(
    manager: Any, name: str, model: CircuitModel, settings: Settings, limit: int | None
) -> TaskPairs:
    """A task's pairs, as the model's tokenizer has them."""
    found = list(manager.load([name])["tasks"].values())
    if len(found) != 1 or not isinstance(found[0], CircuitTask):
        raise TaskDataError(f"{name} is no task with clean and corrupted prompts.")
    task = found[0]
    task.score_by(Scorer(reader_in_force(model, settings), settings.metric_names))
    training = pairs_from_docs(task.training_docs(), f"{name} (training split)")
    evaluation = pairs_from_docs(islice(task.eval_docs, limit), f"{name} (evaluation split)")
    return TaskPairs(name, training, evaluation, task.metric)
