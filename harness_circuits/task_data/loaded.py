"""Data that lm-eval loads (`dataset_path`, or a function as `custom_dataset`): what aligns of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness_circuits.errors import PairError, TaskDataError, shown
from harness_circuits.task_data.fit import Fit

PARTS = ("training", "validation", "test")  # the first halves of lm-eval's `training_split`, ...


def split_docs(config: Any, dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The documents of the splits that a task's configuration names, processed as it says.

    Raises:
        TaskDataError: A split is not in the data.
    """
    found = {}
    for part in PARTS:
        split = getattr(config, f"{part}_split")
        if split is None:
            continue
        if split not in dataset:
            raise TaskDataError(
                f"{config.task}: {part}_split is {shown(split)}, and the data have the splits "
                f"{', '.join(map(str, dataset))}."
            )
        docs = dataset[split]
        found[part] = docs if config.process_docs is None else config.process_docs(docs)
    return found


def align_splits(
    task: str, docs: Mapping[str, Any], fit: Fit
) -> tuple[dict[str, Any], dict[str, int]]:
    """Keep the documents that align under a model's tokenizer and metrics.

    Args:
        task: The task's name.
        docs: Documents by part.
        fit: Keeps those that align.

    Returns:
        A `datasets.Dataset` per part, and how many documents were left out by reason.

    Raises:
        PairError: A document is no pair; the message names it.
        TaskDataError: No document of a part aligns.
    """
    from datasets import Dataset

    rows = {part: _aligned(f"{task} ({part} split)", docs[part], fit) for part in docs}
    reasons = fit.report(", ".join(f"{len(rows[part])} {part}" for part in rows))
    empty = [part for part in rows if not rows[part]]
    if empty:
        raise TaskDataError(
            f"{task} has no {' and no '.join(empty)} pairs for this model's tokenizer and metric; "
            f"left out: {reasons or 'none, there are no documents'}.{fit.why()}"
        )
    features = {part: getattr(docs[part], "features", None) for part in docs}
    aligned = {part: Dataset.from_list(rows[part], features=features[part]) for part in rows}
    return aligned, fit.left_out


def _aligned(where: str, docs: Iterable[Mapping[str, Any]], fit: Fit) -> list[dict[str, Any]]:
    rows = []
    for number, doc in enumerate(docs):
        try:
            kept = fit(dict(doc))
        except PairError as error:
            raise PairError(f"{where}, pair {number}: {error}") from None
        if kept is not None:
            rows.append(kept)
    return rows
