"""Everything of lm-eval that we change, in one place, by one helper.

The start-up hook (`import_hook`) calls the functions in `harness_circuits.harness.import_hook.PATCHES`
one by one, each as soon as the part of lm-eval it changes has been loaded; `register` does the same at
once, for code and commands that do not rely on the hook. Each is safe to call again, and none imports
torch or transformers. What would make each unnecessary:

- `register_model`: lm-eval 0.4.14, which finds models by entry points (its pull request 4013). It
  stands aside by itself wherever lm-eval does so.
- `add_task_folder`: a release with entry points for tasks (pull request 4015, open), once we declare
  one; until then lm-eval finds our tasks only by this, whatever its version.
- `read_command_line`: none so far; lm-eval has no door for a model's errors, and does not hand on what
  was typed (`command_line`).
- `read_arguments`: lm-eval's own mistakes of a command line as one line, in place of a traceback.
- `shorten_output`: none so far; lm-eval prints every metric of a task, and says where nothing is.
- `check_runs`: none so far; lm-eval asks a model nothing before it makes it.
- `tell_tasks_their_model`: none so far; lm-eval tells a task nothing of the model that is run on it, and
  knows no model that is to be evaluated several times.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_circuits.harness.before_loading import (
    MODEL_NAME,
    check_and_evaluate,
    warn_of_unread_tasks,
)
from harness_circuits.harness.closing import (
    closing_lines,
    save_and_note,
    table_of_our_own,
    why_lost,
)
from harness_circuits.harness.command_line import config_file, keep_texts, say_what_was_typed
from harness_circuits.harness.lm_eval_errors import check_folders, find_tasks, read_config
from harness_circuits.harness.plugin import readable_errors, tasks_folder
from harness_circuits.harness.run_in_use import note_manager
from harness_circuits.machine.files import WriteError

if TYPE_CHECKING:
    import argparse

    from lm_eval._cli.harness import HarnessCLI
    from lm_eval.tasks.manager import TaskManager

MODEL_TARGET = "harness_circuits.harness.lm:CircuitLM"
MODELS_GROUP = "lm_eval.models"

_CHANGED = "_changed_by_harness_circuits"


def wrap_once(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace a function by one that hands it to a wrapper, unless that was done before.

    Args:
        owner: The class or module that the function is an attribute of.
        name: Its name.
        wrapper: Called with the original function and then its arguments (a method's `self` first).
    """
    original = getattr(owner, name)
    if hasattr(original, _CHANGED):
        return

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(wrapped, _CHANGED, True)
    setattr(owner, name, wrapped)


def register() -> None:
    """Teach this process's lm-eval about `--model circuit` and the circuit tasks."""
    register_model()
    add_task_folder()
    read_command_line()
    check_runs()


def register_model() -> None:
    """Add `circuit` to lm-eval's models, to be imported when it is asked for.

    Nothing is done where lm-eval finds models by entry points, and ours is declared.
    """
    import lm_eval.models  # noqa: F401  the built-ins load only into an empty registry, so they go first
    from lm_eval.api import registry

    if hasattr(registry, "load_plugins") and metadata.entry_points(
        group=MODELS_GROUP, name=MODEL_NAME
    ):
        return
    if MODEL_NAME not in registry.model_registry:
        registry.model_registry.register(MODEL_NAME, target=MODEL_TARGET)


def add_task_folder() -> None:
    """Have every `TaskManager` scan our tasks, after the built-in ones and before the user's.

    What it is made with is noted, for tasks that a model builds itself (`run_in_use`).
    """
    from lm_eval.tasks.manager import TaskManager

    wrap_once(TaskManager, "__init__", _scan_ours_too)
    wrap_once(TaskManager, "load", _note_and_load)


def _scan_ours_too(
    original: Callable[..., None], manager: TaskManager, *args: Any, **kwargs: Any
) -> None:
    bound = inspect.signature(original).bind(manager, *args, **kwargs)
    bound.apply_defaults()
    asked = bound.arguments["include_path"]
    if bound.arguments["include_defaults"]:
        others = [path for path in _as_list(asked) if Path(path) != tasks_folder()]
        bound.arguments["include_path"] = [tasks_folder(), *others]
    original(*bound.args, **bound.kwargs)
    manager.include_path = asked
    note_manager(asked, manager.metadata)


def _note_and_load(
    original: Callable[..., Any], manager: TaskManager, *args: Any, **kwargs: Any
) -> Any:
    note_manager(manager.include_path, manager.metadata)
    return original(manager, *args, **kwargs)


def read_command_line() -> None:
    """Have lm-eval's command line print a `CircuitError` as one line, and keep what was typed."""
    from lm_eval._cli.harness import HarnessCLI
    from lm_eval._cli.utils import MergeDictAction

    wrap_once(HarnessCLI, "execute", _execute)
    wrap_once(MergeDictAction, "__call__", keep_texts)


def _execute(
    original: Callable[..., None], command: HarnessCLI, arguments: argparse.Namespace
) -> None:
    with readable_errors():
        config = config_file(arguments)
        if (getattr(arguments, "model", None) or config.get("model")) == MODEL_NAME:
            check_runs()
            read_arguments()
            shorten_output()
            say_what_was_typed(arguments, config)
            check_folders(arguments, config)
            warn_of_unread_tasks(arguments.include_path or config.get("include_path"))
        original(command, arguments)
        lost = why_lost()
        sys.stdout.writelines(f"{line}\n" for line in closing_lines())
        if lost:
            raise WriteError(lost)


def read_arguments() -> None:
    """Have lm-eval's command line refuse what it cannot use in one line (`lm_eval_errors`)."""
    from lm_eval.config.evaluate_config import EvaluatorConfig

    wrap_once(EvaluatorConfig, "from_cli", read_config)
    wrap_once(EvaluatorConfig, "process_tasks", find_tasks)


def shorten_output() -> None:
    """Have lm-eval's command line print the metrics that circuit tasks are read by (`closing`)."""
    from lm_eval import utils
    from lm_eval.loggers import EvaluationTracker

    wrap_once(utils, "make_table", table_of_our_own)
    wrap_once(EvaluationTracker, "save_results_aggregated", save_and_note)


def check_runs() -> None:
    """Have `simple_evaluate` check runs of our model before it is loaded (`before_loading`)."""
    from lm_eval import evaluator

    wrap_once(evaluator, "simple_evaluate", check_and_evaluate)


def tell_tasks_their_model() -> None:
    """Have lm-eval's `evaluate` tell circuit tasks which model scores them (`size_grid`).

    And models with a grid of sizes are run once per size. `register` leaves it to the first model.
    """
    from lm_eval import evaluator

    from harness_circuits.harness.size_grid import evaluate_for_model

    wrap_once(evaluator, "evaluate", evaluate_for_model)


def _as_list(
    paths: str | Path | list[str | Path] | tuple[str | Path, ...] | None,
) -> list[str | Path]:
    if not paths:
        return []
    return list(paths) if isinstance(paths, (list, tuple)) else [paths]
