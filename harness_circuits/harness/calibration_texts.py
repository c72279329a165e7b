"""Texts that means are taken over: what `calibration=` names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.harness.run_in_use import run_in_use
from harness_circuits.harness.task import CircuitTask
from harness_circuits.harness.task_lookup import check_task, find_task
from harness_circuits.options.paths import read_path
from harness_circuits.task_data.pair_file import read_text
from harness_circuits.task_data.scorer import Scorer

MAX_DOCUMENTS = 200  # of a task without pairs, whose documents may be many
FILES = (".txt", ".jsonl")


def check_source(source: str) -> None:
    """Make sure that there is such a file or task.

    Raises:
        OptionError: There is none.
    """
    path = read_path(source, "calibration", "a task, a .txt or a .jsonl file")
    if path.suffix not in FILES:
        check_task(source, f"calibration={source}")
    elif not path.is_file():
        raise OptionError(f"calibration={source}: there is no such file.")


def read_texts(
    source: str, limit: int | None, metadata: Mapping[str, Any], scorer: Scorer | None = None
) -> list[str]:
    """The texts of a source.

    Args:
        source: A `.txt` file with a text per line, a `.jsonl` file with `text` (or `clean`), a
            circuit task (its clean training prompts), or any other task (its prompts).
        limit: Texts used, from the first; None for all, or `MAX_DOCUMENTS` of a task without pairs.
        metadata: What tasks may build their data by.
        scorer: The model that circuit tasks build their data for.

    Raises:
        OptionError: There is no such file or task.
        TaskDataError: A line is malformed, or the file is no text in UTF-8.
    """
    check_source(source)
    path = read_path(source, "calibration", "a task, a .txt or a .jsonl file")
    if path.suffix not in FILES:
        return _task_texts(source, limit, metadata, scorer)
    text = read_text(path, way="Save it as UTF-8.")
    lines = [line for line in text.splitlines() if line.strip()]
    lines = lines[:limit]
    if path.suffix == ".txt":
        return lines
    return [_text_of(line, f"{source}, line {number}") for number, line in enumerate(lines, 1)]


def _text_of(line: str, where: str) -> str:
    try:
        doc = json.loads(line)
        return str(doc["text"] if "text" in doc else doc["clean"])
    except (ValueError, KeyError, TypeError) as error:
        raise TaskDataError(f"{where}: expected a JSON object with 'text' or 'clean'.") from error


def _task_texts(
    name: str, limit: int | None, metadata: Mapping[str, Any], scorer: Scorer | None
) -> list[str]:
    """Clean training prompts of a circuit task, or prompts of another one, as the run has them."""
    task, chat = find_task(name, metadata), run_in_use().chat
    if isinstance(task, CircuitTask):
        task.score_by(scorer, chat)
    if task.has_training_docs():
        found = task.training_docs()
    else:
        found = task.validation_docs() if task.has_validation_docs() else task.test_docs()
    docs = list(found)
    if docs and "clean" in docs[0]:
        return [str(doc["clean"]) for doc in docs[:limit]]
    docs = docs[: limit or MAX_DOCUMENTS]
    rolling = task.OUTPUT_TYPE == "loglikelihood_rolling"
    if rolling:
        return [str(task.doc_to_target(doc)) for doc in docs]
    prompts = [str(task.doc_to_text(doc)) for doc in docs]
    return prompts if chat is None else [chat.prompt(text) for text in prompts]
