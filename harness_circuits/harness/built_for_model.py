"""A task's data, built for the model that will be run on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lm_eval.api.task import ConfigurableTask

from harness_circuits.task_data.base import SPLITS, TaskData
from harness_circuits.task_data.chat import Chat
from harness_circuits.task_data.hub import HubData
from harness_circuits.task_data.loaded import PARTS, align_splits, split_docs
from harness_circuits.task_data.scorer import Scorer


def stand_in() -> dict[str, Any]:
    """One pair per split, for lm-eval to look at before it is known which model it is for."""
    from datasets import Dataset

    doc = {
        "clean": "a",
        "corrupted": "b",
        "choices": [" c", " d"],
        "correct": [0],
        "incorrect": [1],
    }
    return {split: Dataset.from_list([doc]) for split in SPLITS}


class BuiltForModel(ConfigurableTask):  # type: ignore[misc]
    """A task whose data depend on what a model makes of the prompts, and on the metric in force.

    They are built when they are first asked for: for the model that was said to be the one
    (`score_by`), else for the one that the metadata name.

    Attributes:
        scorer: The model that the data are for; None where only the metadata may know.
    """

    scorer: Scorer | None = None
    _chat: Chat | None = None
    _data: Any = None
    _built: tuple[Scorer | None, Chat | None] | None = None
    _constructed = False

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Load the data as any harness task does; what is ours is built when it is asked for."""
        self._aligned: Mapping[str, Any] = {}
        self._left_out: dict[str, int] = {}
        if isinstance(self.config.custom_dataset, TaskData):
            self.dataset = stand_in()
        else:
            super().download(dataset_kwargs, **kwargs)
            self._aligned = self._loaded = split_docs(self.config, self.dataset)

    def score_by(self, scorer: Scorer | None, chat: Chat | None = None) -> None:
        """Say which model the data are for.

        Args:
            scorer: The model; None for the one that the metadata name.
            chat: What puts prompts into the format of a chat.
        """
        self.scorer, self._chat = scorer, chat

    @property
    def dataset(self) -> Any:
        """The data of all splits, for the model they are for.

        Raises:
            PairError: A document is no pair.
            TaskDataError: A split is not there, or has no pair that aligns.
        """
        wanted = (self.scorer, self._chat)
        if self._constructed and self._built != wanted:
            self._build(self.scorer or Scorer.named(self.config.metadata or {}), self._chat)
            self._built = wanted
        return self._data

    @dataset.setter
    def dataset(self, data: Any) -> None:
        self._data = data

    @property
    def left_out(self) -> dict[str, int]:
        """How many pairs were left out because they do not align, by reason."""
        _ = self.dataset
        return self._left_out

    def _build(self, scorer: Scorer, chat: Chat | None) -> None:
        metadata, data, name = (
            dict(self.config.metadata or {}),
            self.config.custom_dataset,
            self.config.task,
        )
        self._aligned = {}
        if isinstance(data, TaskData):
            self._data = data.build(metadata, scorer, chat)
            self._left_out = data.left_out
            if self.data_facts:  # which the results then hold under any harness model
                self.config.metadata = {**metadata, "data": self.data_facts}
            if self.config.process_docs is None:
                return
            loaded = split_docs(self.config, self._data)
        else:
            loaded = self._loaded
        fit = scorer.fit(name, metadata, chat)
        self._aligned, self._left_out = align_splits(name, loaded, fit)

    def _docs(self, part: str, otherwise: Callable[[], Any]) -> Any:
        _ = self.dataset
        return self._aligned.get(part) or otherwise()

    def training_docs(self) -> Any:
        """Documents to discover circuits on."""
        return self._docs("training", super().training_docs)

    def validation_docs(self) -> Any:
        """Documents to evaluate on where there is no test split."""
        return self._docs("validation", super().validation_docs)

    def test_docs(self) -> Any:
        """Documents to evaluate on."""
        return self._docs("test", super().test_docs)

    @property
    def n_pairs(self) -> dict[str, int]:
        """Number of pairs of every split that the task names."""
        counts, data = {}, self.dataset
        for part in PARTS:
            split = getattr(self.config, f"{part}_split")
            if split is not None:
                counts[split] = len(self._aligned.get(part) or data.get(split, ()))
        return counts

    @property
    def data_facts(self) -> dict[str, Any]:
        """Which version of which dataset the data are, if they are a dataset's."""
        data = self.config.custom_dataset
        return dict(data.facts) if isinstance(data, HubData) else {}
