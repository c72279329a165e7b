"""The tasks of a sweep: found once, since scanning lm-eval's own takes long."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

from harness_circuits.errors import UnknownNameError
from harness_circuits.harness.task import CircuitTask
from harness_circuits.registry import unknown_name
from harness_circuits.sweep.identity import digest
from harness_circuits.task_data.scorer import Scorer

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager


@dataclass(frozen=True)
class TaskFacts:
    """What planning needs to know about a task.

    Attributes:
        fingerprint: Hash of its documents, those of the training split and those to evaluate.
        n_training: Training documents.
        n_evaluation: Documents to evaluate.
        characters: Mean length of a prompt.
        behind: Mean share of a prompt from where its corrupted one differs.
    """

    fingerprint: str
    n_training: int
    n_evaluation: int
    characters: float
    behind: float = 1.0


def task_facts(manager: TaskManager, name: str, limit: int | None, scorer: Scorer) -> TaskFacts:
    """Build a task for a model, and look at its documents.

    Raises:
        UnknownNameError: There is no such task.
        CircuitError: The task cannot be built.
    """
    if name not in manager.all_tasks:
        raise UnknownNameError(unknown_task(name, manager.all_tasks))
    training: list[Any] = []
    evaluation: list[Any] = []
    for task in manager.load([name])["tasks"].values():
        if isinstance(task, CircuitTask):
            task.score_by(scorer)
        if task.has_training_docs():
            training += list(task.training_docs())
        evaluation += list(islice(task.eval_docs, limit))
    texts = [json.dumps(doc, sort_keys=True, default=str) for doc in evaluation]
    parts = [[json.dumps(doc, sort_keys=True, default=str) for doc in training], texts]
    prompts = [
        len(str(doc.get("clean", text))) for doc, text in zip(evaluation, texts, strict=True)
    ]
    return TaskFacts(
        digest(json.dumps(parts).encode()),
        len(training),
        len(evaluation),
        sum(prompts) / max(1, len(prompts)),
        sum(map(_behind, evaluation)) / max(1, len(evaluation)),
    )


def _behind(doc: Mapping[str, Any]) -> float:
    clean, corrupted = str(doc.get("clean", "")), str(doc.get("corrupted", ""))
    same = sum(1 for _ in takewhile(lambda x: x[0] == x[1], zip(clean, corrupted, strict=False)))
    return 1.0 if not clean else 1 - same / len(clean)


def unknown_task(name: str, known: Sequence[str]) -> str:
    """The message for a task that is not there."""
    message = unknown_name("task", name, known)
    return message.partition(" Known: ")[0] + " `lm_eval ls tasks` lists all of them."
