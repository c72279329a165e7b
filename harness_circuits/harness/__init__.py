"""The side of the package that faces lm-eval: registration, the `circuit` model, circuit tasks.

The start-up hook imports this folder in every process that uses lm-eval, so that nothing is loaded
here, ours included.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness_circuits.harness.lm import CircuitLM
    from harness_circuits.harness.patches import register
    from harness_circuits.harness.plugin import tasks_folder
    from harness_circuits.harness.task import CircuitTask
    from harness_circuits.harness.task_lookup import find_task

__all__ = ["CircuitLM", "CircuitTask", "find_task", "register", "tasks_folder"]

_HOME = {
    "CircuitLM": "lm",
    "CircuitTask": "task",
    "find_task": "task_lookup",
    "register": "patches",
    "tasks_folder": "plugin",
}


def __getattr__(name: str) -> object:
    """Import a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
