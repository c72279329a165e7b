"""Documents of a task's pairs."""

from __future__ import annotations

from typing import Any

from harness_circuits.task_data.base import TaskData, split_of


def doc(key: str, clean: str, corrupted: str, choices: tuple[str, ...] = (" A", " B")) -> dict:
    return {
        "key": key,
        "clean": clean,
        "corrupted": corrupted,
        "choices": list(choices),
        "correct": [0],
        "incorrect": list(range(1, len(choices))),
    }


def data(docs: list[dict[str, Any]], name: str = "fixed") -> TaskData:
    return TaskData(name, lambda generator: iter(docs))


def keyed(split: str, n: int, task: str = "fixed") -> list[str]:
    """The first n keys that belong to a split."""
    keys = (key for key in (f"k{i}" for i in range(1000)) if split_of(task, key) == split)
    return [next(keys) for _ in range(n)]
