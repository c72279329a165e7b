"""A circuit task over words that the tiny tokenizer knows, and lm-eval runs on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.environments import ROOT

NAMES = ("Mary", "John", "Anna", "Tom")
TASK = "tiny_ioi"
YAML = """
task: {task}
class: !function harness_circuits.harness.task.CircuitTask
dataset_path: json
dataset_kwargs: {{data_files: {{train: {train}, test: {test}}}}}
training_split: train
test_split: test
output_type: multiple_choice
doc_to_text: clean
doc_to_choice: choices
doc_to_target: correct
target_delimiter: ""
metadata: {{version: 1.0, task_metric: {metric}}}
"""


def documents(seed: int, n: int) -> list[dict[str, Any]]:
    """Small IOI documents."""
    docs = []
    for number in range(n):
        io, s, other = (NAMES[(seed + number + 3 * k * k) % 4] for k in range(3))
        io, s, other = sorted({io, s, other} | set(NAMES), key=lambda x: (x != io, x != s, x))[:3]
        start = "When" if number % 2 else "The"
        text = f"{start} {io} and {s} went to the store, {{}} gave a drink to"
        docs.append(
            {
                "clean": text.format(s),
                "corrupted": text.format(other),
                "choices": [f" {io}", f" {s}"],
                "correct": [0],
                "incorrect": [1],
            }
        )
    return docs


def write_task(
    folder: Path,
    *,
    task: str = TASK,
    metric: str = "logit_diff",
    train: Sequence[dict[str, Any]] | None = None,
    test: Sequence[dict[str, Any]] | None = None,
) -> Path:
    """Write a task's data and YAML, and return the folder for `include_path`."""
    paths = {}
    for split, docs in (("train", train or documents(0, 6)), ("test", test or documents(1, 5))):
        paths[split] = folder / f"{task}_{split}.jsonl"
        paths[split].write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    (folder / f"{task}.yaml").write_text(YAML.format(task=task, metric=metric, **paths))
    return folder


def evaluate(
    model: Any, tasks: Sequence[str], include: Path | str = ROOT / "tasks", **how: Any
) -> dict[str, Any]:
    """Run lm-eval's `simple_evaluate` with no other tasks than ours."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    metadata = how.pop("metadata", None)
    manager = TaskManager(include_defaults=False, include_path=str(include), metadata=metadata)
    options = {"bootstrap_iters": 0, "log_samples": False, **how}
    results: dict[str, Any] = simple_evaluate(
        model=model, tasks=list(tasks), task_manager=manager, **options
    )
    return results


def values(results: dict[str, Any], task: str = TASK) -> dict[str, float]:
    """Metrics of one task by plain name, without standard errors."""
    return {
        name.partition(",")[0]: value
        for name, value in results["results"][task].items()
        if "," in name and "_stderr" not in name
    }
