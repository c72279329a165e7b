"""Which tasks lm-eval can find in this run, and with what metadata: those of the task manager in use.

lm-eval makes a model before it loads tasks, and tells it nothing about them. The plugin calls
`note_manager` when a task manager is made and when it loads tasks, and `note_chat` when the tasks
are run, so that a task that a model builds itself (`circuit=discover:TASK`, `calibration=TASK`) is
the one the run itself would get.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness_circuits.task_data.chat import Chat


@dataclass(frozen=True)
class RunInUse:
    """What a task manager was made with, and what its tasks are run with.

    Attributes:
        include_path: Folders of more tasks.
        metadata: lm-eval's `--model_args` with `--metadata`, or what Python code gave.
        chat: What puts prompts into a chat's format, if the run asks for it.
    """

    include_path: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    chat: Chat | None = None


_state = {"run": RunInUse()}
_ours = {"depth": 0}


def run_in_use() -> RunInUse:
    """That of the task manager that was made or used last."""
    return _state["run"]


def note_manager(include_path: Any, metadata: Mapping[str, Any] | None) -> None:
    """Say that a task manager is made or used."""
    if _ours["depth"]:
        return
    if include_path is None:
        paths: tuple[Any, ...] = ()
    elif isinstance(include_path, (str, Path)):
        paths = (include_path,)
    else:
        paths = tuple(include_path)
    _state["run"] = RunInUse(tuple(map(str, paths)), dict(metadata or {}))


def note_chat(chat: Chat | None) -> None:
    """Say what puts the prompts of the run into a chat's format."""
    _state["run"] = replace(_state["run"], chat=chat)


@contextmanager
def not_the_runs() -> Iterator[None]:
    """Task managers made and used meanwhile are ours, and not the run's."""
    _ours["depth"] += 1
    try:
        yield
    finally:
        _ours["depth"] -= 1
