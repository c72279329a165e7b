"""Circuit tasks: multiple-choice harness tasks whose documents also carry a corrupted prompt.

With any model they report accuracy and the behavioural metric (`loglikelihood_diff` or `prob_diff`,
from the log-likelihoods of whole answers). With `--model circuit`, responses carry the evaluation of
circuits, and the task aggregates it: means first, then ratios, then areas under curves.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import OptionError, TaskDataError, shown
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.evaluation.summary import (
    ExampleRecord,
    Summary,
    metric_names,
    summarise,
    table,
)
from harness_circuits.machine.outgoing import CleanMessages
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.records.whole_model import behaviour_of
from harness_circuits.task_data import base
from harness_circuits.task_data.base import TaskData
from harness_circuits.task_data.hub import HubData
from harness_circuits.task_data.loaded import PARTS, align_splits, split_docs
from harness_circuits.task_data.truth import TruthData

logger = logging.getLogger("lm_eval.circuit")
logger.addFilter(CleanMessages())  # of all modules that log under this name

TASKS: weakref.WeakValueDictionary[str, CircuitTask] = weakref.WeakValueDictionary()

# What a task's YAML need not say.
DEFAULTS = {
    "output_type": "multiple_choice",
    "doc_to_text": "clean",
    "doc_to_choice": "choices",
    "doc_to_target": "correct",
    "target_delimiter": "",
}
SPLITS_OF_OURS = {
    "training_split": "train",
    "validation_split": "validation",
    "test_split": "test",
}
SPLIT_KEYS = set(SPLITS_OF_OURS)

LOWER_IS_BETTER = (*(name for name, area in AREAS.items() if not area.higher_is_better), "edges")
WITHOUT_DIRECTION = ("full_metric", "corrupted_metric")


class ScoredChoice(tuple[float, bool]):
    """A response (log-likelihood, is greedy) that brings its document's circuit evaluation along."""

    record: ExampleRecord

    def __new__(cls, log_prob: float, greedy: bool, record: ExampleRecord) -> ScoredChoice:
        """Make a response; it compares and prints as the plain pair."""
        self = super().__new__(cls, (log_prob, greedy))
        self.record = record
        return self

    def __reduce__(self) -> tuple[type, tuple[float, bool, ExampleRecord]]:
        return type(self), (self[0], self[1], self.record)


class CircuitTask(ConfigurableTask):  # type: ignore[misc]
    """A harness task over clean/corrupted pairs, named by `class:` in a task's YAML file.

    Attributes:
        left_out: How many pairs were left out because they do not align, by reason.
    """

    left_out: dict[str, int]

    def __init__(self, config: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Build the task's data and check what circuit discovery needs.

        Raises:
            TaskDataError: The YAML names no known metric, or has no training or test split.
        """
        config = {key: value for key, value in dict(config or {}).items() if key != "class"}
        config = {**DEFAULTS, **({} if SPLIT_KEYS & set(config) else SPLITS_OF_OURS), **config}
        super().__init__(config=config, **kwargs)
        name = self.config.task
        self.metric: str = (self.config.metadata or {}).get("task_metric", "logit_diff")
        METRICS.get(self.metric)
        if self.config.output_type != "multiple_choice":
            raise TaskDataError(f"{name}: a circuit task needs output_type: multiple_choice.")
        if not self.has_training_docs() or not (self.has_test_docs() or self.has_validation_docs()):
            raise TaskDataError(
                f"{name}: a circuit task needs a training_split to discover circuits on and a "
                "test_split (or validation_split) to evaluate them on."
            )
        self.stands_in = False
        self.summary: Summary | None = None
        self._names: list[str] = []
        TASKS[name] = self

    def set_config(self, key: str, value: Any, update: bool = False) -> None:
        """Change the configuration, as lm-eval does for its own options.

        Raises:
            OptionError: Few-shot examples: clean and corrupted prompts differ by the corruption only.
        """
        if key == "num_fewshot" and value:
            raise OptionError(
                f"num_fewshot={shown(value)}: {self.config.task} has clean and corrupted prompts, which "
                "have to differ by the corruption only; run tasks with pairs without it."
            )
        super().set_config(key, value, update=update)

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Build the data, or load it as any harness task does and leave out what does not align.

        Raises:
            PairError: A document is no pair.
            TaskDataError: A split is not there, or has no pair that aligns.
        """
        metadata, data = dict(self.config.metadata or {}), self.config.custom_dataset
        self._aligned: Mapping[str, Any] = {}
        if isinstance(data, TaskData):
            self.dataset = data(**metadata)
            self.left_out = base.left_out(data.task)
            if self.data_facts:  # which the results then hold under any harness model
                self.config.metadata = {**metadata, "data": self.data_facts}
        else:
            super().download(dataset_kwargs, **kwargs)
        if self.config.process_docs is not None or not isinstance(data, TaskData):
            docs = split_docs(self.config, self.dataset)
            self._aligned, self.left_out = align_splits(self.config.task, docs, metadata)

    def training_docs(self) -> Any:
        """Documents to discover circuits on."""
        return self._aligned.get("training") or super().training_docs()

    def validation_docs(self) -> Any:
        """Documents to evaluate on where there is no test split."""
        return self._aligned.get("validation") or super().validation_docs()

    def test_docs(self) -> Any:
        """Documents to evaluate on."""
        return self._aligned.get("test") or super().test_docs()

    @property
    def n_pairs(self) -> dict[str, int]:
        """Number of pairs of every split that the task names."""
        counts = {}
        for part in PARTS:
            split = getattr(self.config, f"{part}_split")
            if split is not None:
                counts[split] = len(self._aligned.get(part) or self.dataset.get(split, ()))
        return counts

    def build_all_requests(
        self, *, rank: int = 0, world_size: int = 1, limit: Any = None, **how: Any
    ) -> None:
        """Make this process's requests.

        lm-eval cannot do without any: a process that has no documents asks about the first one and
        nobody looks at the answer (`stands_in`).
        """
        own = {"rank": rank, "world_size": world_size, "limit": limit}
        documents = self.doc_iterator(**own, samples=how.get("samples"))
        self.stands_in = world_size > 1 and next(iter(documents), None) is None
        if self.stands_in:
            own, how = {"rank": 0, "world_size": 1, "limit": 1}, {**how, "samples": None}
        super().build_all_requests(**own, **how)

    def true_circuit(self, graph: Graph) -> Circuit | None:
        """The circuit that discovery should find, where the task knows it.

        Raises:
            CircuitFileError: It is another model's.
        """
        data = self.config.custom_dataset
        return data.circuit(graph) if isinstance(data, TruthData) else None

    @property
    def data_facts(self) -> dict[str, Any]:
        """Which version of which dataset the data are, if they are a dataset's."""
        data = self.config.custom_dataset
        return dict(data.facts) if isinstance(data, HubData) else {}

    @property
    def whole_heads(self) -> bool:
        """Whether the true circuit does not tell a head's query, key and value apart."""
        data = self.config.custom_dataset
        return isinstance(data, TruthData) and data.whole_heads

    @property
    def behaviour(self) -> str:
        """Name of the metric that any model reports beside accuracy."""
        return behaviour_of(self.metric)

    def process_results(
        self, doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]
    ) -> dict[str, Any]:
        """Score one document from its choices' responses."""
        scores = np.array([response[0] for response in results], dtype=float)
        correct, incorrect = list(doc["correct"]), list(doc["incorrect"])
        if self.behaviour == "prob_diff":
            value = np.exp(scores[correct]).sum() - np.exp(scores[incorrect]).sum()
        else:
            value = scores[correct].mean() - scores[incorrect].mean()
        result: dict[str, Any] = {
            "acc": float(int(scores.argmax()) in correct),
            self.behaviour: float(value),
        }
        record = getattr(results[0], "record", None)
        if record is not None:
            self._names = metric_names(record.header)
            result |= dict.fromkeys(self._names, record)
        return result

    def aggregation(self) -> dict[str, Callable[[Sequence[Any]], float]]:
        """How each metric's values per document become one number."""
        plain = {"acc": mean, self.behaviour: mean}
        return plain | {name: partial(self._aggregate, name) for name in self._names}

    def higher_is_better(self) -> dict[str, bool]:
        """Direction of each metric."""
        names = ["acc", self.behaviour, *self._names]
        return {
            name: not name.startswith(LOWER_IS_BETTER)
            for name in names
            if name not in WITHOUT_DIRECTION
        }

    def _aggregate(self, name: str, records: Sequence[ExampleRecord]) -> float:
        key = tuple(map(id, records))
        if self.summary is None or getattr(self, "_key", None) != key:
            self.summary, self._key = summarise(records), key
            logger.info("%s\n%s", self.config.task, table(self.summary))
        return self.summary.metrics[name]
