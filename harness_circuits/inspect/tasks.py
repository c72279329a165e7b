"""Every circuit task as a task of Inspect: `harness_circuits/ioi`, and one for YAML files of your own.

They are made from the package's own definitions (`tasks/`), when one of them is run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inspect_ai import Task, task

from harness_circuits.inspect.task_names import circuit_task_names, short_name


def _maker(name: str) -> Callable[..., Task]:
    def make(**options: Any) -> Task:
        from harness_circuits.inspect.circuit_task import circuit_task

        return circuit_task(name, options)

    make.__doc__ = (
        f"`{name}` under Inspect; options as in lm-eval's `--model_args` and `--metadata`."
    )
    return make


def from_yaml(task: str, **options: Any) -> Task:
    """A circuit task of your own.

    Args:
        task: Its `.yaml` file, or its name.
        **options: As of every circuit task.
    """
    from harness_circuits.inspect.circuit_task import circuit_task

    return circuit_task(task, options)


TASKS = {
    short_name(name): task(name=short_name(name))(_maker(name)) for name in circuit_task_names()
}
TASKS["from_yaml"] = task(name="from_yaml")(from_yaml)
