"""Circuit tasks: one experiment each, and what the results say about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance

from harness_circuits.circuits.known import known_for_task
from harness_circuits.evaluation.agreement import agreement, overlap_with_known
from harness_circuits.evaluation.chance import accuracy_and_chance, near_chance_warning
from harness_circuits.evaluation.result import Result, example_records
from harness_circuits.evaluation.strongest import strongest_units
from harness_circuits.evidence import summary_lines
from harness_circuits.experiment import Experiment
from harness_circuits.harness.circuit_argument import NamedCircuit, scorer_in_force
from harness_circuits.harness.options import LEARNING, Options, check_with_pairs
from harness_circuits.harness.processes import all_documents, check_prompts, check_scorer
from harness_circuits.harness.responses import ScoredChoice
from harness_circuits.harness.task import CircuitTask
from harness_circuits.machine.ranks import Ranks
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.records.artifacts import write_artifacts
from harness_circuits.selection.given import Given

logger = logging.getLogger("lm_eval.circuit")


@dataclass(frozen=True)
class Prepared:
    """One task whose requests can be answered.

    Attributes:
        task: The task.
        requests: Its requests of this process.
        documents: Its documents of all processes, by number.
        experiment: Checked and not yet run; None where the requests have their answers already.
    """

    task: CircuitTask
    requests: Sequence[Instance]
    documents: Mapping[int, Mapping[str, Any]]
    experiment: Experiment | None


class PairedTasks:
    """The part of `CircuitLM` that runs circuit tasks.

    Attributes:
        model: The model.
        options: What to do.
        circuit: What `circuit=` named.
        ranks: The processes that share the work.
        artifacts: Where scores and circuits are written; None for nowhere.
    """

    def __init__(
        self,
        model: CircuitModel,
        options: Options,
        circuit: NamedCircuit,
        ranks: Ranks,
        artifacts: Path | None,
    ) -> None:
        """Hold what every task needs."""
        self.model, self.options, self.circuit, self.ranks = model, options, circuit, ranks
        self.artifacts = artifacts
        self._runs: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, CircuitTask] = {}

    def prepare(
        self, requests: Mapping[CircuitTask, Sequence[Instance]]
    ) -> dict[CircuitTask, Prepared]:
        """Check everything about some tasks, before any of them is run.

        Args:
            requests: By task.

        Raises:
            CircuitError: A task cannot be run with this model and these options.
        """
        with self.ranks.together():
            return {task: self._prepare(task, own) for task, own in requests.items()}

    def _prepare(self, task: CircuitTask, requests: Sequence[Instance]) -> Prepared:
        if all(request.resps for request in requests):  # a further size of tasks without pairs
            return Prepared(task, requests, {}, None)
        check_with_pairs(self.options, task.config.task)
        check_scorer(task, scorer_in_force(self.model, self.options.settings))
        docs = all_documents(task, requests, self.ranks)
        pairs = pairs_from_docs(docs.values(), f"{task.config.task} (evaluation split)")
        check_prompts(task, requests, dict(zip(docs, pairs, strict=True)))
        return Prepared(task, requests, docs, self.experiment(task, docs))

    def experiment(
        self, task: CircuitTask, documents: Mapping[int, Mapping[str, Any]]
    ) -> Experiment:
        """The experiment of a task, checked and not yet run.

        Args:
            task: The task, its data built for this model.
            documents: Those to evaluate on, by number.

        Raises:
            CircuitError: The task cannot be run with this model and these options.
        """
        name = task.config.task
        return Experiment(
            self.model,
            self.options.settings,
            pairs_from_docs(task.training_docs(), f"{name} (training split)"),
            pairs_from_docs(documents.values(), f"{name} (evaluation split)"),
            task_metric=task.metric,
            task=name,
            given=self.circuit.given,
            ranks=self.ranks,
            folder=None if self.artifacts is None else self.artifacts / LEARNING,
        )

    def answers(self, prepared: Prepared) -> Sequence[Any]:
        """Responses to one task's requests: run its experiment and spread its values over them."""
        task, requests = prepared.task, prepared.requests
        if prepared.experiment is None:
            return [request.resps[0] for request in requests]
        with self.ranks.together():
            found = self.responses(task, prepared.documents, prepared.experiment.run())
        if task.stands_in:
            return [(0.0, False)] * len(requests)
        return [found[r.doc_id][r.idx] for r in requests]

    def responses(
        self, task: CircuitTask, documents: Mapping[int, Mapping[str, Any]], result: Result
    ) -> dict[int, list[ScoredChoice]]:
        """Keep and write what an experiment found.

        Args:
            task: The task.
            documents: Those it was evaluated on, by number.
            result: What it found.

        Returns:
            By document, the response to each of its choices.
        """
        records = self._record(task, documents, result)
        examples = zip(documents, result.examples.log_probs, result.examples.greedy, strict=True)
        return {
            number: [
                ScoredChoice(log_prob, is_greedy, records[number])
                for log_prob, is_greedy in zip(log_probs, greedy, strict=True)
            ]
            for number, log_probs, greedy in examples
        }

    def _record(
        self, task: CircuitTask, docs: Mapping[int, Mapping[str, Any]], result: Result
    ) -> Mapping[int, Any]:
        """Keep and write what was found; its records by document."""
        scores, settings, name = result.scores, self.options.settings, result.task
        pairs = pairs_from_docs(docs.values(), name)
        accuracy = accuracy_and_chance(result.examples.full_accuracy.tolist(), pairs)
        model = self.model.name
        chance = [near_chance_warning(accuracy, name, model)] if accuracy.near_chance else []
        truth = task.true_circuit(self.model.graph)
        known = known_for_task(name, self.model.graph)
        known = known if truth is None else ("that is true by construction", truth)
        if scores is not None:
            task.strongest = strongest_units(scores, known, whole_heads=task.whole_heads)
        how = {"whole_heads": task.whole_heads, "published": settings.published}
        records = example_records(
            result,
            list(docs),
            iters=settings.bootstrap_iters,
            seed=settings.seed,
            agreement=agreement(scores, truth, **how),
        )
        if self.artifacts is not None:
            write_artifacts(self.artifacts, name, result, records.values(), pairs)
        found = self.circuit.given if scores is None else Given.of(scores)
        self._tasks[name] = task
        self._runs[name] = {
            "metric": result.metric,
            **result.facts,
            "warnings": [*result.facts["warnings"], *chance],
            "accuracy": asdict(accuracy),
            "left_out": task.left_out,
            "data": task.data_facts,
            "processes": self.ranks.size,
            "scores": dict(scores.provenance) if scores is not None else {},
            "known_circuits": overlap_with_known(found, name),
            "strongest": task.strongest and task.strongest.to_dict(),
        }
        self._log(result)
        for line in summary_lines(result.facts.get("evidence", {})) if self.ranks.rank == 0 else ():
            logger.info("%s", line)
        for warning in self._runs[name]["warnings"] if self.ranks.rank == 0 else ():
            logger.warning(warning)
        return records

    def facts(self) -> dict[str, Any]:
        """What the results say about each task that was run, by name."""
        return {name: {**run, "curves": self._curves(name)} for name, run in self._runs.items()}

    def _curves(self, name: str) -> dict[str, Any]:
        summary = self._tasks[name].summary
        return {} if summary is None else summary.curves

    def _log(self, result: Result) -> None:
        graph, facts, settings = self.model.graph, result.facts, self.options.settings
        what = f"{settings.method} at {settings.level} level"
        if self.circuit.given is not None:
            what = f"{self.circuit.given.space.level} scores or circuit from {self.circuit.name}"
        circuits = sum(len(curve.circuits) for curve in result.curves)
        logger.info(
            f"{result.task}: {self.model.name}, {graph.n_src + 1} nodes and {graph.n_edges} edges, "
            f"{what}; discovery on {facts['n_discovery']} pairs {facts['discovery_seconds']:.1f} s, "
            f"evaluation of {circuits} circuits on {facts['n_evaluation']} pairs "
            f"{facts['evaluation_seconds']:.1f} s"
        )
