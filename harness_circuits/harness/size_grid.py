"""Tasks without pairs on a grid of circuit sizes, in one run of lm-eval.

lm-eval's `evaluate` is run once per size, with the prompts of the first run. The metrics of all runs
end up in one result: `acc@0.05` is `acc` of the circuit of size 0.05. Metrics without a size are
there only where `size=` asks for them, so that no row can be taken for the full model's.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from harness_circuits.circuits.sizes import size_name
from harness_circuits.harness.run_in_use import note_chat
from harness_circuits.harness.task import CircuitTask
from harness_circuits.task_data.chat import Chat

Results = dict[str, Any]


class Sized(Protocol):
    """The part of a model that can be told which size to run at (`OrdinaryTasks`)."""

    grid: tuple[float, ...]
    single_size: float | None

    def use_size(self, size: float | None) -> None:
        """Run at this size from now on."""


def evaluate_for_model(
    original: Callable[..., Results | None], *args: Any, **kwargs: Any
) -> Results | None:
    """lm-eval's `evaluate` after circuit tasks have been told which model scores them.

    Their data depend on it. A model with a grid of sizes is run once per size.
    """
    bound = inspect.signature(original).bind(*args, **kwargs)
    lm, tasks = bound.arguments["lm"], dict(_tasks(bound.arguments["task_dict"]))
    asked = bound.arguments.get("apply_chat_template")
    system = bound.arguments.get("system_instruction")
    note_chat(Chat(lm.apply_chat_template, system) if asked else None)
    for task in tasks.values():
        if isinstance(task, CircuitTask):
            task.score_by(getattr(lm, "scorer", None))
    ordinary = [name for name, task in tasks.items() if not isinstance(task, CircuitTask)]
    if not getattr(getattr(lm, "ordinary", None), "grid", ()) or not ordinary:
        return original(*args, **kwargs)
    return _evaluate_sizes(original, bound.arguments, tasks, ordinary)


def _tasks(nested: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Tasks of what `evaluate` takes: a `TaskDict`, or the nested dictionaries of older lm-eval."""
    for name, value in nested.get("tasks", nested).items():
        if isinstance(value, Mapping):
            yield from _tasks(value)
        elif hasattr(value, "build_all_requests"):
            yield str(name), value


def _evaluate_sizes(
    evaluate: Callable[..., Results | None],
    arguments: Mapping[str, Any],
    tasks: Mapping[str, Any],
    ordinary: Sequence[str],
) -> Results | None:
    part: Sized = arguments["lm"].ordinary
    single = part.single_size
    sizes = sorted({*part.grid, *([] if single is None else [single])}, reverse=True)
    found: list[Results | None] = []
    try:
        part.use_size(sizes[0])  # the largest: what it has memory for, the others have
        found.append(evaluate(**arguments))
        with _prompts_kept(tasks.values()):
            for size in sizes[1:]:
                part.use_size(size)
                found.append(evaluate(**{**arguments, "write_out": False}))
    finally:
        part.use_size(single)
    by_size = {
        size: results for size, results in zip(sizes, found, strict=True) if results is not None
    }
    if len(by_size) < len(sizes):  # not the first of several processes
        return None
    base = by_size[sizes[0] if single is None else single]
    return _merged(base, {size: by_size[size] for size in part.grid}, ordinary, single is not None)


@contextmanager
def _prompts_kept(tasks: Any) -> Iterator[None]:
    """Within this context tasks keep their requests, without the answers of earlier runs.

    Circuit tasks keep their answers too: they have all sizes already.
    """

    def reset(task: Any, **_: Any) -> None:
        for instance in () if isinstance(task, CircuitTask) else task.instances:
            instance.resps, instance.filtered_resps = [], {}

    for task in tasks:
        task.build_all_requests = functools.partial(reset, task)
    try:
        yield
    finally:
        for task in tasks:
            del task.build_all_requests


def _merged(
    base: Results, by_size: Mapping[float, Results], ordinary: Sequence[str], keep: bool
) -> Results:
    """One result with the metrics of all sizes; those of `base` too if they are to be kept."""
    merged = dict(base)
    for part in ("results", "groups", "higher_is_better"):
        merged[part] = {name: dict(row) for name, row in base.get(part, {}).items()}
        for name in _with_ordinary(base, ordinary):
            if name not in merged[part]:
                continue
            row = merged[part][name]
            if not keep:
                row = {key: value for key, value in row.items() if not _is_metric(part, key)}
            for size, results in by_size.items():
                own = results[part][name].items()
                row |= {_at(key, size): value for key, value in own if _is_metric(part, key)}
            merged[part][name] = row
    if not base.get("groups"):
        del merged["groups"]
    if "samples" in base:
        merged["samples"] = dict(base["samples"])
        for name in ordinary:
            rows = zip(*(results["samples"][name] for results in by_size.values()), strict=True)
            merged["samples"][name] = [
                _sample(sample, dict(zip(by_size, row, strict=True)))
                for sample, row in zip(base["samples"][name], rows, strict=True)
            ]
    return merged


def _sample(base: Results, by_size: Mapping[float, Results]) -> Results:
    """One document's log, with the answers and metrics of all sizes."""
    sized = {
        _at(key, size): sample[key]
        for size, sample in by_size.items()
        for key in ("filtered_resps", *sample["metrics"])
    }
    return {**base, **sized}


def _is_metric(part: str, key: str) -> bool:
    """Whether a key names a metric or its standard error, as `acc,none` does."""
    return part == "higher_is_better" or "," in key


def _at(key: str, size: float) -> str:
    """The name at a size: `acc,none` becomes `acc@0.05,none`."""
    metric, comma, filtered = key.partition(",")
    plain = metric.removesuffix("_stderr")
    return f"{plain}@{size_name(size)}{metric[len(plain) :]}{comma}{filtered}"


def _with_ordinary(results: Results, ordinary: Sequence[str]) -> list[str]:
    """Tasks without pairs, and the groups that have one of them."""
    members = results.get("group_subtasks", {})

    def has(name: str) -> bool:
        return name in ordinary or any(has(member) for member in members.get(name, ()))

    return [name for name in (*ordinary, *members) if has(name)]
