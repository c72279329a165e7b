"""A task's data built for a tokenizer, as for a model that reads with it."""

from __future__ import annotations

from typing import Any

from helpers.tiny_tokenizer import word_tokenizer

from harness_circuits.models.text_reader import TextReader
from harness_circuits.task_data.base import TaskData
from harness_circuits.task_data.scorer import Scorer


def scorer(tokenizer: Any = None, **how: Any) -> Scorer:
    """`--model circuit` with a tokenizer; by default the word tokenizer."""
    return Scorer(TextReader(word_tokenizer() if tokenizer is None else tokenizer, **how))


def built(data: TaskData, tokenizer: Any = None, **metadata: Any) -> dict[str, Any]:
    """All splits of some data."""
    return data.build(metadata, scorer(tokenizer))
