"""What `lm_eval --model circuit` prints at its end: a short table, where things are, what to do next.

`patches.shorten_output` puts these functions around lm-eval's own.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_circuits.machine.files import WriteError, check_writable, remove
from harness_circuits.machine.outgoing import clean, clean_lines, path_part

if TYPE_CHECKING:
    from lm_eval.loggers import EvaluationTracker

PROGRAM = "harness-circuits"
NOTHING_SAVED = (
    "nothing was saved: --output_path out --model_args artifacts=out/artifacts saves results, scores "
    "and circuits"
)


@dataclass(frozen=True)
class Saved:
    """What a run has left.

    Attributes:
        tasks: The circuit tasks that were run.
        file: The results file.
        folder: The folder that it is in, as it was given.
        artifacts: The folder of artifacts, as it was given.
        lost: Why the results were to be saved and are not; else empty.
    """

    tasks: tuple[str, ...]
    file: Path | None
    folder: Path | None
    artifacts: Path | None
    lost: str = ""


_last: list[Saved] = []  # of this process; lm-eval's command line prints what it returns


def save_and_note(
    original: Callable[..., None], tracker: EvaluationTracker, results: Any, *args: Any, **kw: Any
) -> None:
    """lm-eval's saving of results, which then is known to have happened, and where.

    lm-eval logs what goes wrong and goes on; a cut-off file is removed.
    """
    original(tracker, results, *args, **kw)
    circuit = results.get("config", {}).get("circuit")
    if circuit is None:
        return
    path = Path(tracker.output_path) if tracker.output_path else None
    file, folder, lost = None, None, ""
    if path is not None:
        folder = path.parent if path.suffix == ".json" else path
        date = getattr(tracker, "date_id", None)  # given when it begins to write
        file = next(folder.rglob(f"*_{date}.json"), None) if date else None
        file, lost = _whole(file, folder)
    artifacts = Path(circuit["artifacts"]) if circuit["artifacts"] else None
    _last[:] = [Saved(tuple(circuit["tasks"]), file, folder, artifacts, lost)]


def _whole(file: Path | None, folder: Path) -> tuple[Path | None, str]:
    """A results file, if it holds all it should; else why not."""
    if file is not None:
        try:
            json.loads(file.read_text(encoding="utf-8"))
            return file, ""
        except (OSError, ValueError):
            remove(file)
    try:
        check_writable(folder)
    except WriteError as error:
        return None, str(error)
    return None, f"The results could not be saved in {folder}: lm-eval's warning above says why."


def why_lost() -> str:
    """Why the last run's results are not where they were to be; empty where they are."""
    return _last[-1].lost if _last else ""


def table_of_our_own(
    original: Callable[..., str],
    results: Mapping[str, Any],
    column: str = "results",
    *args: Any,
    **kw: Any,
) -> str:
    """lm-eval's table of results, in which circuit tasks have a few lines; other tasks are as ever."""
    circuit = results.get("config", {}).get("circuit")
    own = [] if circuit is None or column != "results" else _in_order(results, circuit["tasks"])
    if not own:
        return original(results, column, *args, **kw)
    from harness_circuits.records.short_table import short_table

    text = "\n" + clean_lines(short_table(results, own)) + "\n"
    others = {name: row for name, row in results["results"].items() if name not in own}
    if not any("," in key for row in others.values() for key in row):
        return text
    return f"{text}\n{original({**results, 'results': others}, column, *args, **kw)}"


def _in_order(results: Mapping[str, Any], tasks: Mapping[str, Any]) -> list[str]:
    return [name for name in results["results"] if name in tasks]


def closing_lines() -> list[str]:
    """Where the last run's results are and what to do with them; nothing where there was no run."""
    if not _last:
        return []
    saved = _last.pop()
    lines = [] if saved.file is None else [f"results    {saved.file}"]
    if saved.lost:
        lines.append(f"results    not saved in {saved.folder}")
    if saved.artifacts is not None and saved.tasks:
        where = _of(saved) if len(saved.tasks) == 1 else saved.artifacts
        lines.append(f"artifacts  {where}: scores, circuits, values per pair")
    if not lines:
        return [NOTHING_SAVED]
    return [clean(line) for line in (*lines, *_next(saved))]


def _of(saved: Saved) -> Path:
    assert saved.artifacts is not None
    return saved.artifacts / path_part(saved.tasks[0])


def _next(saved: Saved) -> list[str]:
    """Commands that work on what was saved."""
    commands = []
    if saved.artifacts is not None and saved.tasks:
        commands.append(f"draw {shlex.quote(str(_of(saved)))} --output circuit.html")
    if saved.file is not None:
        commands.append(f"leaderboard {shlex.quote(str(saved.folder))}")
    return [f"{'next' if not at else '':<11}{_program()} {x}" for at, x in enumerate(commands)]


def _program() -> str:
    """How our command is called from here."""
    if shutil.which(PROGRAM):
        return PROGRAM
    beside = Path(sys.executable).with_name(PROGRAM)
    if not beside.exists():
        return PROGRAM
    here = beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside
    return shlex.quote(str(here))
