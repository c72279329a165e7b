"""Clean accuracy and mean metric of a model on every offline circuit task, as a Markdown table.

Run it from the repository: `python benchmarks/task_accuracy.py [--pretrained MODEL] [--tasks ...]`.
The table for the default model stands in `tasks/README.md`.
"""

from __future__ import annotations

import argparse

from lm_eval.tasks import TaskManager

from harness_circuits.commands.check_task import measure
from harness_circuits.harness.plugin import tasks_folder
from harness_circuits.harness.task import CircuitTask
from harness_circuits.loading.load import load_model
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.task_data.base import PAIRS_PER_SPLIT, SPLITS
from harness_circuits.task_data.scorer import Scorer

GROUP = "circuit_suite"
HEAD = (
    "| task | option | train / validation / test | left out | metric | clean | corrupted | accuracy "
    "(95%) | chance |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print a row per task, and per value of its options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--pretrained", help="as in --model_args; by default SmolLM2-135M-Instruct (Q4_1)"
    )
    parser.add_argument("--tasks", help="comma-separated; by default the group circuit_suite")
    parser.add_argument("--n-test", type=int, default=PAIRS_PER_SPLIT, help="pairs to measure on")
    arguments = parser.parse_args()
    model = load_model(arguments.pretrained)
    names = arguments.tasks.split(",") if arguments.tasks else members()
    print(HEAD)
    for name, option in cases(names):
        print(row(model, name, option, arguments.n_test), flush=True)


def manager(**metadata: object) -> TaskManager:
    """lm-eval's task manager over our tasks alone."""
    return TaskManager(
        include_defaults=False, include_path=str(tasks_folder()), metadata=dict(metadata)
    )


def members() -> list[str]:
    """Names of the tasks of the group."""
    return list(manager().load([GROUP])["tasks"])


def load(name: str, **options: object) -> CircuitTask:
    """Build one task."""
    task: CircuitTask = manager(**options).load([name])["tasks"][name]
    return task


def cases(names: list[str]) -> list[tuple[str, dict[str, str]]]:
    """All tasks with their defaults, then every other value of each option."""
    others = [
        (name, {key: value})
        for name in names
        for key, values in options_of(name).items()
        for value in values[1:]
    ]
    return [*((name, {}) for name in names), *others]


def options_of(name: str) -> dict[str, tuple[str, ...]]:
    """A task's options and their values."""
    return {
        key: tuple(v)
        for key, v in load(
            name, n_train=1, n_validation=0, n_test=1
        ).config.custom_dataset.options.items()
    }


def row(model: CircuitModel, name: str, option: dict[str, str], n_test: int) -> str:
    """One row: pairs, and the full model's values on the test split."""
    task = load(name, **option, n_test=n_test)
    task.score_by(Scorer(model.reader))
    pairs = pairs_from_docs(task.test_docs(), name)
    measured = measure(model, name, METRICS.get(task.metric), pairs)
    found = measured.accuracy
    sizes = " / ".join(str(len(task.dataset[split])) for split in SPLITS)
    left = sum(task.left_out.values())
    mark = " (!)" if found.near_chance else ""
    shown = ", ".join(f"{key}={value}" for key, value in option.items()) or "default"
    return (
        f"| `{name}` | {shown} | {sizes} | {left} | {task.metric} | {measured.clean:.2f} | "
        f"{measured.corrupted:.2f} | {found.value:.2f} ({found.low:.2f}-{found.high:.2f}){mark} | "
        f"{found.chance:.2f} |"
    )


if __name__ == "__main__":
    main()
