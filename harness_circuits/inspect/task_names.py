"""The circuit tasks of this package by name, read from their YAML files without lm-eval."""

from __future__ import annotations

import re

from harness_circuits.harness.plugin import tasks_folder

_TASK = re.compile(r"^task: (\w+)$", re.MULTILINE)
SUFFIX = "_circuit"


def circuit_task_names() -> list[str]:
    """Names of all circuit tasks of the package, in order."""
    texts = (path.read_text(encoding="utf-8") for path in tasks_folder().rglob("*.yaml"))
    return sorted(found[1] for text in texts if (found := _TASK.search(text)))


def short_name(task: str) -> str:
    """The name under which Inspect finds a task: `ioi` for `ioi_circuit`."""
    return task.removesuffix(SUFFIX)
