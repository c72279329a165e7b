"""Who scores a task's answers: what decides which of its pairs can be used."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness_circuits.errors import CircuitError
from harness_circuits.loading.load import load_reader
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.text_reader import TextReader
from harness_circuits.pairs.spans import NO_POSITIONS, Positions
from harness_circuits.task_data.chat import Chat
from harness_circuits.task_data.fit import Fit

logger = logging.getLogger("lm_eval.circuit")

MetricNames = tuple[str | None, str | None]  # metric= and attribution_metric=, where they are given


@dataclass(frozen=True)
class Scorer:
    """A model as a task's data see it.

    Attributes:
        reader: How it reads text; None where that is not known, as for models behind an API.
        metrics: Its metrics in place of the tasks' own.
        ours: Whether it is `--model circuit`, and not another model of lm-eval's.
        positions: How it divides prompts into spans, which have to align too.
    """

    reader: TextReader | None
    metrics: MetricNames = (None, None)
    ours: bool = True
    positions: Positions = NO_POSITIONS

    @classmethod
    def named(cls, metadata: Mapping[str, Any]) -> Scorer:
        """Another harness model: the one that `--model_args`, which are in the metadata, name."""
        named = metadata.get("tokenizer") or metadata.get("pretrained")
        if named is None:
            return cls(None, ours=False)
        try:
            return cls(load_reader({**metadata, "pretrained": str(named)}), ours=False)
        except CircuitError as error:
            logger.warning("No tokenizer to align pairs with: %s", error)
            return cls(None, ours=False)

    def fit(self, task: str, metadata: Mapping[str, Any], chat: Chat | None = None) -> Fit:
        """What keeps the documents of a task that this model can score.

        Args:
            task: What messages call the pairs.
            metadata: The task's, with its `task_metric`.
            chat: What puts prompts into a chat's format.
        """
        metric = self.metrics[0] or metadata.get("task_metric", "logit_diff")
        metrics = (METRICS.get(metric), METRICS.get(self.metrics[1] or metric))
        return Fit(task, metrics, self.reader, self.ours, chat, self.positions)
