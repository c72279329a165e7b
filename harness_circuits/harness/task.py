"""Circuit tasks: multiple-choice harness tasks whose documents also carry a corrupted prompt.

With any model they report accuracy and the behavioural metric (`loglikelihood_diff` or `prob_diff`,
from the log-likelihoods of whole answers). With `--model circuit`, responses carry the evaluation of
circuits, and the task aggregates it: means first, then ratios, then areas under curves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import is_
from typing import Any

import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import OptionError, TaskDataError, shown
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.evaluation.strongest import Strongest, strongest_table
from harness_circuits.evaluation.summary import (
    ExampleRecord,
    Summary,
    metric_names,
    summarise,
    table,
)
from harness_circuits.harness.built_for_model import BuiltForModel
from harness_circuits.harness.responses import ScoredChoice
from harness_circuits.machine.outgoing import CleanMessages
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.records.whole_model import behaviour_of
from harness_circuits.task_data.chat import Chat
from harness_circuits.task_data.truth import TruthData

logger = logging.getLogger("lm_eval.circuit")
logger.addFilter(CleanMessages())  # of all modules that log under this name

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
_TASK = "circuit_task"  # the attribute of a request that holds its task
WITHOUT_DIRECTION = ("full_metric", "corrupted_metric", "exceeds")


class CircuitTask(BuiltForModel):
    """A harness task over clean/corrupted pairs, named by `class:` in a task's YAML file."""

    def __init__(self, config: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Check what circuit discovery needs.

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
        self.strongest: Strongest | None = None
        self._names: list[str] = []
        self._summarised: tuple[ExampleRecord, ...] = ()
        self._constructed = True

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

    def build_all_requests(
        self, *, rank: int = 0, world_size: int = 1, limit: Any = None, **how: Any
    ) -> None:
        """Make this process's requests; each knows its task (`task_of`).

        lm-eval cannot do without any: a process that has no documents asks about the first one and
        nobody looks at the answer (`stands_in`). A chat template goes around both prompts of a pair
        when the data are built, before it is looked at what aligns. Requests are not cached: lm-eval
        knows them by the task's name, and they depend on the model.
        """
        if how.pop("apply_chat_template", False):
            chat = Chat(how.pop("chat_template"), how.pop("system_instruction", None))
            self.score_by(self.scorer, chat)
        how |= {"cache_requests": False, "rewrite_requests_cache": False, "chat_template": None}
        self._check_samples(how.get("samples"))
        own = {"rank": rank, "world_size": world_size, "limit": limit}
        documents = self.doc_iterator(**own, samples=how.get("samples"))
        self.stands_in = world_size > 1 and next(iter(documents), None) is None
        if self.stands_in:
            own, how = {"rank": 0, "world_size": 1, "limit": 1}, {**how, "samples": None}
        super().build_all_requests(**own, **how)
        for request in self.instances:
            setattr(request, _TASK, self)

    def _check_samples(self, samples: Sequence[Any] | None) -> None:
        """Refuse numbers of documents that there are not."""
        n = len(self.eval_docs)
        for number in samples or ():
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < n:
                raise OptionError(
                    f"--samples: {self.config.task} has documents 0 to {n - 1}, got {shown(number)}."
                )

    def true_circuit(self, graph: Graph) -> Circuit | None:
        """The circuit that discovery should find, where the task knows it.

        Raises:
            CircuitFileError: It is another model's.
        """
        data = self.config.custom_dataset
        return data.circuit(graph) if isinstance(data, TruthData) else None

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
        if isinstance(results[0], ScoredChoice):
            record = results[0].record
            self._names = metric_names(record.header)
            result |= dict.fromkeys(self._names, record)
        return result

    def aggregation(self) -> dict[str, Callable[[Sequence[Any]], float | None]]:
        """How each metric's values per document become one number."""
        plain: dict[str, Callable[[Sequence[Any]], float | None]]
        plain = {"acc": mean, self.behaviour: mean}
        return plain | {name: partial(self._aggregate, name) for name in self._names}

    def higher_is_better(self) -> dict[str, bool]:
        """Direction of each metric."""
        names = ["acc", self.behaviour, *self._names]
        return {
            name: not name.startswith(LOWER_IS_BETTER)
            for name in names
            if not name.startswith(WITHOUT_DIRECTION)
        }

    def _aggregate(self, name: str, records: Sequence[ExampleRecord]) -> float | None:
        same = len(records) == len(self._summarised) and all(map(is_, records, self._summarised))
        if self.summary is None or not same:
            self.summary, self._summarised = summarise(records), tuple(records)
            text = table(self.summary)
            text += "" if self.strongest is None else f"\n\n{strongest_table(self.strongest)}\n"
            logger.info("%s\n%s", self.config.task, text)
        return self.summary.metrics[name]


def task_of(request: Instance) -> CircuitTask | None:
    """The circuit task that made a request; None where another task did.

    Requests know the task itself: several of one name may be there, one per model.
    """
    return getattr(request, _TASK, None)
