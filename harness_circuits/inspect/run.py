"""One circuit task in one evaluation of Inspect: its experiment, run once for all of its samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSpec
from inspect_ai.scorer import SampleScore
from inspect_ai.util import EarlyStop

from harness_circuits.errors import OptionError, shown
from harness_circuits.harness.before_loading import circuit_tasks
from harness_circuits.harness.circuit_argument import scorer_in_force, task_metadata
from harness_circuits.harness.options import task_to_discover
from harness_circuits.harness.responses import ScoredChoice
from harness_circuits.harness.task import CircuitTask
from harness_circuits.harness.task_lookup import check_task, find_task, task_manager
from harness_circuits.inspect.arguments import check_data_options, merged_options, task_options
from harness_circuits.inspect.loaded import Loaded
from harness_circuits.inspect.view import curve_texts
from harness_circuits.records.pair_scores import FACTS, PairScore, pair_score
from harness_circuits.settings import Settings

YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Found:
    """What was found on one pair.

    Attributes:
        values: Numbers by name: the sample's score.
        details: What its metric needs beside them.
        answer: The model's likeliest choice.
    """

    values: dict[str, float]
    details: dict[str, Any]
    answer: str


class TaskRun:
    """A task with its documents, its options and its model.

    It is Inspect's manager of early stopping, too: it stops nothing, and learns so which samples
    `--limit` and `--sample-id` leave.

    Attributes:
        name: The task's name in lm-eval.
        facts: What the log says about the run, filled in as it is known.
        curves: The curves as people read them in the log, filled in likewise.
        documents: All documents to evaluate on, by number.
    """

    def __init__(self, loaded: Loaded, name: str, given: Mapping[str, Any]) -> None:
        """Read the options and build the data.

        Raises:
            CircuitError: An option cannot be used, or there is no data.
        """
        options = merged_options(loaded.arguments, task_options(given))
        data = {key: value for key, value in given.items() if key not in task_options(given)}
        task = _task(name, task_metadata(options), data)
        self.loaded, self.paired, self.task = loaded, loaded.paired(options), task
        self.name, self.facts = str(task.config.task), dict[str, Any]()
        self.curves = dict[str, str]()
        task.score_by(scorer_in_force(loaded.model, options.settings))
        docs = task.test_docs() if task.has_test_docs() else task.validation_docs()
        self.documents = dict(enumerate(docs))
        self._selected = tuple(self.documents)
        self._found: tuple[tuple[int, ...], dict[int, Found]] | None = None
        self._failed: Exception | None = None
        if task_to_discover(options.run.get("circuit")) is None:
            self._say({"config": self.loaded.facts(self.paired)})

    @property
    def version(self) -> str:
        """The version of the task's definition."""
        return str((self.task.config.metadata or {}).get("version", 0))

    async def sample(self, id: int) -> Found:
        """What was found on a sample's pair; the first to ask has the experiment run."""
        async with self.loaded.lock:
            if self._failed is not None:
                raise self._failed
            if self._found is None or self._found[0] != self._selected:
                try:
                    await self.loaded.in_thread(self._run)
                except Exception as error:
                    self._failed = error
                    raise
        assert self._found is not None
        return self._found[1][id - 1]

    @property
    def settings(self) -> Settings:
        """What is done."""
        return self.paired.options.settings

    def _say(self, facts: Mapping[str, Any]) -> None:
        """Have the log say something about the run: it holds these dictionaries themselves."""
        self.facts |= facts
        task = facts["config"]["circuit"]["tasks"].get(self.name, {})
        self.curves |= curve_texts(task.get("curves", {}))

    def _run(self) -> None:
        task, documents = self.task, {n: self.documents[n] for n in self._selected}
        experiment = self.paired.experiment(task, documents)
        found = self.paired.responses(task, documents, experiment.run())
        scores = {n: self._score(documents[n], found[n]) for n in documents}
        self._summarise(found)
        self._say({"config": self.loaded.facts(self.paired)})
        first = {FACTS: self.facts}  # once, for runs that take over all samples of an earlier one
        self._found = (
            self._selected,
            {
                n: Found(
                    score.values,
                    score.details | (first if n == self._selected[0] else {}),
                    str(documents[n]["choices"][_likeliest(found[n])]),
                )
                for n, score in scores.items()
            },
        )

    def _score(self, document: Mapping[str, Any], choices: list[ScoredChoice]) -> PairScore:
        results = self.task.process_results(document, choices)
        plain = {name: results[name] for name in ("acc", self.task.behaviour)}
        return pair_score(choices[0].record, plain)

    def _summarise(self, found: Mapping[int, list[ScoredChoice]]) -> None:
        """Have the task make its curves, which the facts then hold."""
        records = [choices[0].record for choices in found.values()]
        self.task.aggregation()["full_metric"](records)

    async def start_task(self, task: EvalSpec, samples: list[Sample], epochs: int) -> str:
        """Learn which samples this run has."""
        self._selected = tuple(sorted(int(str(sample.id)) - 1 for sample in samples))
        return "none"

    async def schedule_sample(self, id: str | int, epoch: int) -> EarlyStop | None:
        """Stop nothing."""
        return None

    async def complete_sample(
        self, id: str | int, epoch: int, scores: dict[str, SampleScore]
    ) -> None:
        """Learn what an earlier run, whose samples this one takes over, said about itself."""
        for score in scores.values():
            if self._found is None and FACTS in (score.score.metadata or {}):
                self._say((score.score.metadata or {})[FACTS])

    async def complete_task(self) -> dict[str, Any]:
        """Say nothing."""
        return {}


def _task(name: str, model: Mapping[str, Any], data: Mapping[str, Any]) -> CircuitTask:
    """Build a task of this package, or of a YAML file, with options of its data checked first."""
    check_task(name, "task")
    names = [] if name.endswith(YAML) else [name]  # a file needs no search among lm-eval's own
    configs = dict(circuit_tasks([name], task_manager(names, (), {})))
    if len(configs) != 1:
        raise OptionError(f"{shown(name)} is not one task with clean/corrupted pairs.")
    for own, config in configs.items():
        check_data_options(own, config, data)
    task = find_task(name, {**model, **data})
    assert isinstance(task, CircuitTask), "circuit_tasks yields no other"
    return task


def _likeliest(choices: list[ScoredChoice]) -> int:
    return max(range(len(choices)), key=lambda at: choices[at][0])
