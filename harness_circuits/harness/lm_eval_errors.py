"""Mistakes on the command line that lm-eval answers with a traceback, or not at all, in one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_circuits.errors import OptionError, one_line, shown
from harness_circuits.harness.before_loading import MODEL_NAME
from harness_circuits.harness.plugin import tasks_folder
from harness_circuits.machine.files import check_writable
from harness_circuits.registry import closest

if TYPE_CHECKING:
    from lm_eval.config.evaluate_config import EvaluatorConfig
    from lm_eval.tasks import TaskManager

WHERE_TASKS_ARE = (
    "`harness-circuits tasks` lists the circuit tasks, `lm_eval ls tasks` all; your own are found under "
    "--include_path"
)
_NOT_FOUND = "Tasks not found: "  # how lm-eval's message about tasks begins


def read_config(
    original: Callable[..., EvaluatorConfig], arguments: argparse.Namespace
) -> EvaluatorConfig:
    """lm-eval's reading of its arguments and of `--config`, for runs of our model.

    Raises:
        OptionError: They do not go together, or the file cannot be read.
    """
    try:
        return original(arguments)
    except (OSError, TypeError, ValueError) as error:
        if arguments.model != MODEL_NAME:
            raise
        raise OptionError(one_line(error)) from error


def find_tasks(
    original: Callable[..., TaskManager], config: EvaluatorConfig, *args: Any, **kw: Any
) -> TaskManager:
    """lm-eval's search for the tasks that a run names, for runs of our model.

    Raises:
        OptionError: There is none of a name, or none is named.
    """
    try:
        return original(config, *args, **kw)
    except (OSError, TypeError, ValueError) as error:
        if config.model != MODEL_NAME:
            raise
        raise OptionError(_about_tasks(str(error))) from error


def _about_tasks(message: str) -> str:
    _, found, names = message.partition(_NOT_FOUND)
    if not found:
        return f"--tasks: {message}"
    first = names.split(", ")[0]
    close = closest(first, [path.stem for path in tasks_folder().rglob("*.yaml")])
    hint = f" Did you mean {close!r}?" if close else ""
    return f"--tasks: there is no task {shown(first)}.{hint} {WHERE_TASKS_ARE}."


def check_folders(arguments: argparse.Namespace, config: Mapping[str, Any]) -> None:
    """Refuse folders that a run would find missing, or unable to take its results, at its end.

    Args:
        arguments: The command line of a run of our model.
        config: What its `--config` file says.

    Raises:
        CircuitError: A folder of `--include_path` is not there, or that of `--output_path` takes no file.
    """
    from harness_circuits.options.paths import read_path  # options know sizes, and these NumPy

    asked = arguments.include_path or config.get("include_path")
    for folder in asked if isinstance(asked, (list, tuple)) else [asked]:
        if folder and not (read_path(folder, "--include_path") and Path(folder).is_dir()):
            raise OptionError(f"--include_path {shown(folder)}: there is no such folder.")
    output = arguments.output_path or config.get("output_path")
    if output and read_path(output, "--output_path"):
        path = Path(output)  # as lm-eval takes it: without anybody's home in place of `~`
        check_writable(path.parent if path.suffix == ".json" else path)
