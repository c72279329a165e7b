"""The tasks of a sweep: found once, since scanning lm-eval's own takes long."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from harness_circuits.errors import CircuitError, UnknownNameError
from harness_circuits.harness.task import CircuitTask
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.pairs.tokenise import TokenPair, tokenise_pair
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
        metric: The task's metric.
        training: Its training pairs as the model reads them; None where they are none.
        evaluation: The same of the pairs to evaluate.
    """

    fingerprint: str
    n_training: int
    n_evaluation: int
    characters: float
    metric: str = "logit_diff"
    training: Sequence[TokenPair] | None = None
    evaluation: Sequence[TokenPair] | None = None


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
    metric = "logit_diff"
    for task in manager.load([name])["tasks"].values():
        if isinstance(task, CircuitTask):
            task.score_by(scorer)
            metric = task.metric
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
        metric,
        _encoded(training, scorer, name),
        _encoded(evaluation, scorer, name),
    )


def _encoded(docs: Sequence[Any], scorer: Scorer, name: str) -> list[TokenPair] | None:
    """Pairs as tokens, to count these; None of documents of other tasks."""
    if scorer.reader is None:
        return None
    try:
        pairs = pairs_from_docs(docs, name)
        return [tokenise_pair(scorer.reader, pair, at, name) for at, pair in enumerate(pairs)]
    except (CircuitError, KeyError, TypeError):
        return None


def unknown_task(name: str, known: Sequence[str]) -> str:
    """The message for a task that is not there."""
    message = unknown_name("task", name, known)
    return message.partition(" Known: ")[0] + " `lm_eval ls tasks` lists all of them."
