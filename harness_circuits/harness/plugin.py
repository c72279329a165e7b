"""Registration with lm-eval: the model `circuit`, the task folder, readable errors.

`harness_circuits.harness.import_hook` calls the three functions below one by one, each as soon as the
part of lm-eval it changes has been loaded. `register` does all at once, for code and commands that
do not rely on the start-up hook. Each is safe to call again, and none imports torch or
transformers.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_circuits.errors import CircuitError
from harness_circuits.harness.before_loading import check_runs, warn_of_unread_tasks
from harness_circuits.harness.run_in_use import note_manager

if TYPE_CHECKING:
    import argparse

    from lm_eval._cli.harness import HarnessCLI
    from lm_eval.tasks.manager import TaskManager

MODEL_NAME = "circuit"
MODEL_TARGET = "harness_circuits.harness.lm:CircuitLM"

_CHANGED = "_changed_by_harness_circuits"


def register() -> None:
    """Teach this process's lm-eval about `--model circuit` and the circuit tasks."""
    register_model()
    add_task_folder()
    shorten_errors()
    check_runs(MODEL_NAME)


def register_model() -> None:
    """Add `circuit` to lm-eval's models, to be imported when it is asked for."""
    import lm_eval.models  # noqa: F401  the built-ins load only into an empty registry, so they go first
    from lm_eval.api.registry import model_registry

    if MODEL_NAME not in model_registry:
        model_registry.register(MODEL_NAME, target=MODEL_TARGET)


def add_task_folder() -> None:
    """Have every `TaskManager` scan our tasks, after the built-in ones and before the user's.

    What it is made with is noted, for tasks that a model builds itself (`run_in_use`).
    """
    from lm_eval.tasks.manager import TaskManager

    original = TaskManager.__init__
    if hasattr(original, _CHANGED):
        return
    load = TaskManager.load
    signature = inspect.signature(original)

    @functools.wraps(original)
    def scan_ours_too(self: TaskManager, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        asked = bound.arguments["include_path"]
        if bound.arguments["include_defaults"]:
            bound.arguments["include_path"] = [tasks_folder(), *_as_list(asked)]
        original(*bound.args, **bound.kwargs)
        self.include_path = asked
        note_manager(asked, self.metadata)

    @functools.wraps(load)
    def noted_load(self: TaskManager, *args: Any, **kwargs: Any) -> Any:
        note_manager(self.include_path, self.metadata)
        return load(self, *args, **kwargs)

    setattr(scan_ours_too, _CHANGED, True)
    TaskManager.__init__, TaskManager.load = scan_ours_too, noted_load


def shorten_errors() -> None:
    """Have lm-eval's command line print a `CircuitError` as one line instead of a traceback."""
    from lm_eval._cli.harness import HarnessCLI

    original = HarnessCLI.execute
    if hasattr(original, _CHANGED):
        return

    @functools.wraps(original)
    def execute(self: HarnessCLI, args: argparse.Namespace) -> None:
        with readable_errors():
            if getattr(args, "model", None) == MODEL_NAME:
                check_runs(MODEL_NAME)
                warn_of_unread_tasks(getattr(args, "include_path", None))
            original(self, args)

    setattr(execute, _CHANGED, True)
    HarnessCLI.execute = execute


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn a `CircuitError` into its message on stderr and exit code 1.

    With lm-eval's log level at DEBUG (`LMEVAL_LOG_LEVEL=DEBUG`) the error passes through, so that
    Python prints the traceback. Every other exception passes through as it is.
    """
    try:
        yield
    except CircuitError as error:
        if logging.getLogger("lm_eval").isEnabledFor(logging.DEBUG):
            raise
        sys.exit(f"harness-circuits: error: {error}")


def tasks_folder() -> Path:
    """Return the folder of the circuit tasks, in a checkout or in an installed wheel."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_tasks"
    return installed if installed.is_dir() else package.parent / "tasks"


def _as_list(
    paths: str | Path | list[str | Path] | tuple[str | Path, ...] | None,
) -> list[str | Path]:
    if not paths:
        return []
    return list(paths) if isinstance(paths, (list, tuple)) else [paths]
