"""Runs of a model on tasks that a manager finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from harness_circuits.harness.lm import CircuitLM

OPTIONS = """
import random
from harness_circuits.task_data.base import TaskData

NAMES = ("Mary", "John", "Anna", "Tom")

def candidates(generator, *, variant):
    for _ in range(300):
        first, second, third = generator.sample(NAMES, 3)
        place = generator.choice(("store", "store .", "drink", "bag", "book"))
        text = f"{variant} {first} and {second} went to the {place}, {{}} gave a drink to"
        yield {"key": f"{first}{second}{third}{place}", "clean": text.format(second),
               "corrupted": text.format(third), "choices": [f" {first}", f" {second}"],
               "correct": [0], "incorrect": [1]}

data = TaskData("optional", candidates, options={"variant": ("When", "The")})
"""


def lm(folder: Path, task: str, **arguments: Any) -> CircuitLM:
    options = {"method": "EAP", "ablation": "zero", "size": 0.3, "device": "cpu"}
    return CircuitLM(
        pretrained=str(folder / "model"), circuit=f"discover:{task}", **options, **arguments
    )


def manager(folder: Path, **metadata: Any) -> TaskManager:
    return TaskManager(include_defaults=False, include_path=str(folder), metadata=metadata or None)


def run(model: Any, folder: Path, tasks: tuple[str, ...] = ("choice",), **metadata: Any) -> Any:
    found = simple_evaluate(
        model=model,
        tasks=list(tasks),
        task_manager=manager(folder, **metadata),
        bootstrap_iters=0,
        log_samples=False,
    )
    assert found is not None
    return found["config"]["circuit"]


def given(model: Any, folder: Path, **metadata: Any) -> dict[str, Any]:
    found: dict[str, Any] = run(model, folder, **metadata)["given"]
    return found
