"""`harness-circuits tasks`: the circuit tasks of this package, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness_circuits.commands.parser import CommandParser
from harness_circuits.harness.plugin import tasks_folder
from harness_circuits.machine.outgoing import clean

_EPILOG = """\
then:
  harness-circuits check-task TASK                     its pairs for a model
  harness-circuits --model circuit --tasks TASK        circuits for it
"""


def tasks_command(arguments: Sequence[str]) -> None:
    """Run the command."""
    _parser().parse_args(arguments)
    found = dict(sorted(read_tasks(tasks_folder())))
    groups = {name: config for name, config in found.items() if isinstance(config["task"], list)}
    width = max(map(len, found)) + 2
    for name, config in found.items():
        if name not in groups:
            metric = config["metadata"]["task_metric"]
            print(clean(f"{name:<{width}}{metric:<12}{config['metadata']['about']}"))
    print()
    for name, config in groups.items():
        members = f"{len(config['task'])} tasks"
        print(clean(f"{name:<{width}}{members:<12}{config['metadata']['about']}"))


def read_tasks(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and configurations of the tasks and groups in a folder, without making anything."""
    from lm_eval.tasks._yaml_loader import load_yaml

    for path in folder.rglob("*.yaml"):
        config = load_yaml(path, resolve_func=False)
        yield config.get("group") or config["task"], config


def _parser() -> CommandParser:
    return CommandParser(
        prog="harness-circuits tasks",
        description="List the circuit tasks: name, metric, and what they are about; then the groups, "
        "which run several.",
        epilog=_EPILOG,
    )
