"""What can be refused of a run of lm-eval with `--model circuit` before its model is loaded.

`check_and_evaluate` is put around `lm_eval.simple_evaluate` (`patches.check_runs`), which the command
line and Python both go through: there the arguments, the tasks and the harness's own options are
known, and nothing has been loaded. Later checks stay, for models that are made first and tasks that
are built by hand.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_circuits.errors import OptionError, one_line, shown
from harness_circuits.harness.command_line import read_text

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

    from harness_circuits.harness.options import Options

logger = logging.getLogger("lm_eval.circuit")

MODEL_NAME = "circuit"
NO_CACHE = (
    "--use_cache cannot be used with --model circuit: it stores responses by prompt and answer "
    "only, and would mix up circuits, methods and models. (--cache_requests is fine.)"
)
SAMPLES = '{"ioi_circuit": [0, 1]}'


def check_and_evaluate(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What lm-eval's `simple_evaluate` does, with runs of our model checked first, then signed."""
    bound = inspect.signature(original).bind(*args, **kwargs)
    if bound.arguments.get("model") == MODEL_NAME:
        bound.apply_defaults()
        check_run(bound.arguments)
    results = original(*bound.args, **bound.kwargs)
    if results is not None and "circuit" in results.get("config", ()):
        from harness_circuits.records import checksum

        checksum.sign(results)
    return results


def check_run(run: dict[str, Any]) -> None:
    """Check the arguments of one run, and that its tasks with pairs can be run with them.

    Args:
        run: The arguments of `simple_evaluate`, by name. A task manager that is made here is put among
            them, as making one takes seconds.

    Raises:
        CircuitError: Something cannot be used; the message says what.
    """
    from harness_circuits.harness.options import (
        check_with_pairs,
        read_options,
        with_harness_flags,
    )
    from harness_circuits.loading.loaded import named

    given = run["model_args"] or {}
    arguments = read_text(given) if isinstance(given, str) else dict(given)
    flags = {name: run[name] for name in ("batch_size", "max_batch_size", "device")}
    options = read_options(with_harness_flags(arguments, flags))
    metadata = run["metadata"] or {}
    told = {name: arguments[name] for name in arguments if name not in named(arguments)}
    if run["task_manager"] is None:
        from lm_eval.tasks import TaskManager

        run["task_manager"] = TaskManager(metadata={**told, **metadata})
    _check_flags(run)
    configs = dict(circuit_tasks(run["tasks"], run["task_manager"]))
    for name, config in configs.items():
        check_with_pairs(options, name)
        check_harness_options(name, run)
        check_metadata(name, config, {**told, **metadata})
        check_phrasing(options, name, config)
    check_samples(run.get("samples"), configs)
    check_ordinary(run["tasks"], run["task_manager"], options)
    if configs and len(configs) == len(run["tasks"]):
        _check_names(configs, set(metadata) - set(arguments))
        _check_tasks_of_samples(run.get("samples") or {}, configs)


def _check_flags(run: Mapping[str, Any]) -> None:
    """Refuse what lm-eval would take for a run of nothing, or cannot be used with our model.

    Raises:
        OptionError: There is such an argument.
    """
    limit = run.get("limit")
    if limit is not None and not limit > 0:
        raise OptionError(
            f"--limit is a number of documents, or a share of them, got {shown(limit)}."
        )
    if run.get("use_cache"):
        raise OptionError(NO_CACHE)
    if not run["tasks"]:
        raise OptionError(
            "--tasks names the tasks to run, such as ioi_circuit; `harness-circuits tasks` lists them."
        )


def check_harness_options(task: str, run: Mapping[str, Any]) -> None:
    """Refuse options of lm-eval that would change the prompts of a task with pairs.

    A chat template goes around both prompts of a pair, and a system instruction into it.

    Raises:
        OptionError: One is given.
    """
    chat = bool(run.get("apply_chat_template"))
    for name in ("num_fewshot", "system_instruction"):
        if run.get(name) and not (chat and name == "system_instruction"):
            way = " or with --apply_chat_template" if name == "system_instruction" else ""
            raise OptionError(
                f"--{name} {shown(run[name])}: {task} has clean and corrupted prompts, which have to "
                f"differ by the corruption only; run tasks with pairs without this option{way}."
            )


def check_samples(samples: Any, tasks: Iterable[str]) -> None:
    """Check the form of `--samples`; that there are such documents is known when there are documents.

    Args:
        samples: What was given.
        tasks: Names of the run's tasks with pairs.

    Raises:
        OptionError: It is no mapping, or a task with pairs has no list of document numbers in it.
    """
    if samples is None:
        return
    if not isinstance(samples, Mapping):
        raise OptionError(
            f"--samples maps tasks to numbers of documents, {SAMPLES}, as JSON or in a file of it, got "
            f"{shown(samples)}."
        )
    for task in tasks:
        numbers = samples.get(task, [0])
        if not isinstance(numbers, Sequence) or isinstance(numbers, str) or not numbers:
            raise OptionError(f"--samples: {task} has a list of numbers, got {shown(numbers)}.")


def check_ordinary(tasks: Iterable[Any], manager: TaskManager, options: Options) -> None:
    """Refuse tasks without pairs where no circuit is named to run them on, or none that could.

    Raises:
        OptionError: There is such a task.
    """
    from harness_circuits.harness.ordinary_circuits import check_standins

    for task in tasks:
        known = isinstance(task, str) and task in manager.task_index
        if known and not any(circuit_tasks([task], manager)):
            if options.run.get("circuit") is None:
                check_standins(None, options)
            options.check_ordinary_ablation()


def _check_tasks_of_samples(samples: Mapping[str, Any], tasks: Mapping[str, Any]) -> None:
    """Refuse documents of a task that is not run: lm-eval would run all documents of those that are."""
    from harness_circuits.registry import unknown_name

    for name in samples:
        if name not in tasks:
            raise OptionError(f"--samples: {unknown_name('task of this run', name, tasks)}")


def circuit_tasks(
    tasks: Iterable[Any], manager: TaskManager
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Names and configurations of the tasks with pairs among those that a run names."""
    for task in tasks:
        if isinstance(task, str):
            yield from _of_name(task, manager)
        elif isinstance(task, Mapping) and isinstance(task.get("task"), str):
            yield from _of_config(task["task"], task)


def _of_name(name: str, manager: TaskManager) -> Iterator[tuple[str, Mapping[str, Any]]]:
    entry = manager.task_index.get(name)
    if entry is None:
        path = Path(name)
        if path.suffix == ".yaml" and path.is_file():
            yield from _of_file(path)
    elif entry.kind.name == "GROUP":
        members = (entry.cfg or {}).get("task", ())
        yield from circuit_tasks(members if isinstance(members, list) else (), manager)
    elif entry.kind.name == "TAG":
        yield from circuit_tasks(sorted(entry.tags), manager)
    elif entry.yaml_path is not None and "class" in (entry.cfg or {"class": None}):
        yield from _of_file(entry.yaml_path)


def _of_file(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(path)
    yield from _of_config(str(config.get("task")), config)


def _of_config(name: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from harness_circuits.harness.task import CircuitTask

    kind = config.get("class")
    if isinstance(kind, type) and issubclass(kind, CircuitTask):
        yield name, config


def check_metadata(task: str, config: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Check the values that a task builds its data by.

    Raises:
        OptionError: A value is none that the task knows.
    """
    from harness_circuits.task_data.base import TaskData

    data = config.get("custom_dataset")
    if isinstance(data, TaskData):
        data.check({**(config.get("metadata") or {}), **given})


def check_phrasing(options: Options, task: str, config: Mapping[str, Any]) -> None:
    """Refuse to compare phrasings of a task that has one.

    Raises:
        OptionError: It is asked for by name.
    """
    from harness_circuits.evidence.kinds import by_name
    from harness_circuits.evidence.rephrasing import one_phrasing
    from harness_circuits.task_data.base import TaskData

    data = config.get("custom_dataset")
    single = isinstance(data, TaskData) and data.one_phrasing
    if single and by_name("rephrasing", options.settings.evidence):
        raise one_phrasing(task)


def _check_names(configs: Mapping[str, Mapping[str, Any]], given: Iterable[str]) -> None:
    """Refuse metadata that no task of the run has a use for."""
    from harness_circuits.registry import unknown_name
    from harness_circuits.task_data.base import TaskData

    datasets = [config.get("custom_dataset") for config in configs.values()]
    if not all(isinstance(data, TaskData) for data in datasets):
        return  # a task of somebody's own, which may read anything
    known = {key: None for data in datasets for key in data.known_names()}  # type: ignore[union-attr]
    own = {key: None for config in configs.values() for key in config.get("metadata") or {}}
    for key in given:
        if key not in known and key not in own:
            where = ", ".join(list(configs)[:3])
            raise OptionError(f"--metadata: {unknown_name(f'option of {where}', key, known)}")


def warn_of_unread_tasks(include_path: Any) -> None:
    """Say which task files of `--include_path` lm-eval leaves out in silence, and why."""
    from lm_eval.tasks._yaml_loader import load_yaml

    folders = include_path if isinstance(include_path, (list, tuple)) else [include_path]
    for folder in folders:
        for path in sorted(Path(folder).expanduser().rglob("*.yaml")) if folder else ():
            try:
                load_yaml(path, resolve_func=False)
            except Exception as error:  # lm-eval leaves a file out whatever is wrong with it
                logger.warning("%s is left out of the tasks: %s", path, one_line(error))
