"""Tasks by name, found in our folder first: scanning lm-eval's own takes seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness_circuits.errors import OptionError, shown
from harness_circuits.harness.plugin import tasks_folder
from harness_circuits.harness.run_in_use import not_the_runs, run_in_use
from harness_circuits.options.paths import read_path

if TYPE_CHECKING:
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager


def task_manager(
    names: Iterable[str], include_path: Sequence[str], metadata: Mapping[str, Any]
) -> TaskManager:
    """A task manager for some tasks; lm-eval's own are scanned only if one is not among ours."""
    from lm_eval.tasks import TaskManager

    folders = [str(tasks_folder()), *include_path]
    facts = dict(metadata) or None
    with not_the_runs():
        manager = TaskManager(include_defaults=False, include_path=folders, metadata=facts)
        if not set(names) <= set(manager.all_tasks):
            manager = TaskManager(include_path=folders, metadata=facts)
    return manager


def check_task(name: str, option: str) -> None:
    """Make sure a task is known, without building it.

    Args:
        name: A task, or a task's `.yaml` file.
        option: What messages call it.

    Raises:
        OptionError: There is none.
    """
    if name.endswith((".yaml", ".yml")):
        known = read_path(name, "task", "a task or its .yaml file").is_file()
    else:
        known = name in task_manager([name], run_in_use().include_path, {}).all_tasks
    if not known:
        raise OptionError(
            f"{option}: there is no task {shown(name)}. `lm_eval ls tasks` lists all of them; a task of "
            "your own is given as its .yaml file, or found under --include_path."
        )


def find_task(name: str, metadata: Mapping[str, Any]) -> Task:
    """Build one task as the run in use would: from its include path, and with its metadata.

    Args:
        name: A task, or a task's `.yaml` file, that `check_task` has seen.
        metadata: What the task learns beside the run's own metadata, which wins.

    Raises:
        OptionError: It is a group of tasks.
    """
    names, run = [name], run_in_use()
    if name.endswith((".yaml", ".yml")):
        name, names = str(read_path(name, "task", "a task or its .yaml file")), []
    manager = task_manager(names, run.include_path, {**metadata, **run.metadata})
    with not_the_runs():
        found = list(manager.load([name])["tasks"].values())
    if len(found) != 1:
        raise OptionError(f"{name} is a group of {len(found)} tasks: name one of them.")
    return found[0]
