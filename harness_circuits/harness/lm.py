"""`--model circuit`: lm-eval's HuggingFace model, which also finds and evaluates circuits.

Requests of circuit tasks (`CircuitTask`) trigger one experiment per task: discovery on the task's
training split, evaluation on the documents the harness asked for (so `--limit` holds). Their
responses are the full model's log-likelihoods with the evaluation attached.
"""

from __future__ import annotations

import copy
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NoReturn

from lm_eval.api.instance import Instance
from lm_eval.utils import simple_parse_args_string

from harness_circuits.errors import OptionError
from harness_circuits.evaluation.agreement import agreement, overlap_with_known
from harness_circuits.evaluation.chance import accuracy_and_chance, near_chance_warning
from harness_circuits.evaluation.result import Result, example_records
from harness_circuits.experiment import Experiment
from harness_circuits.harness.options import (
    Options,
    check_with_pairs,
    read_options,
    with_harness_flags,
)
from harness_circuits.harness.ordinary import CircuitHFLM
from harness_circuits.harness.processes import (
    SharedRun,
    all_documents,
    check_device_map,
    check_prompts,
    device_of,
    without_warnings,
)
from harness_circuits.harness.provenance import model_facts, settings_in_force, versions
from harness_circuits.harness.task import TASKS, CircuitTask, ScoredChoice
from harness_circuits.loading.default_model import DISPLAY_NAME
from harness_circuits.loading.load import load_model
from harness_circuits.machine.ranks import join_processes
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.records.artifacts import check_folder, write_artifacts
from harness_circuits.records.circuit_section import circuit_section
from harness_circuits.selection.given import Given
from harness_circuits.task_data import base

logger = logging.getLogger("lm_eval.circuit")


class CircuitLM(SharedRun, CircuitHFLM):
    """The model `circuit` of lm-eval."""

    def __init__(self, **arguments: Any) -> None:
        """Validate all arguments, then load the model.

        Args:
            **arguments: `--model_args`, and what lm-eval adds (batch size, device).

        Raises:
            CircuitError: An argument, the model, or their combination cannot be used.
        """
        self.ranks, accelerator = join_processes()
        with self.ranks.together():
            self._use(read_options(arguments))
            check_device_map(self.options.model.get("device_map"), self.ranks.on_machine)
            started = time.perf_counter()
            self.circuit_model = load_model(**self.options.model | device_of(accelerator))
            self.load_seconds = time.perf_counter() - started
            self.find_circuit()
        with without_warnings("Passed an already-initialized model", "not of type `str`"):
            super().__init__(
                pretrained=self.circuit_model.hf,
                tokenizer=self.circuit_model.tokenizer,
                **self.options.harness,
            )
        self._join(accelerator)
        self._in_use()

    def _use(self, options: Options) -> None:
        """Start anew under some options, with what is loaded."""
        self.options, self.settings = options, options.settings
        folder = options.run.get("artifacts")
        wanted = folder is not None and self.ranks.rank == 0
        self.artifacts = check_folder(str(folder)) if wanted else None
        self._runs: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, CircuitTask] = {}
        self.start_ordinary()

    def with_arguments(self, **arguments: Any) -> CircuitLM:
        """The same loaded model under other arguments.

        Args:
            **arguments: As for the constructor. Those of the model and of lm-eval's `hf` have to be
                the ones that this model was made with.

        Raises:
            CircuitError: An argument cannot be used.
        """
        options = read_options(arguments)
        if (options.model, options.harness) != (self.options.model, self.options.harness):
            raise OptionError(
                f"{self.circuit_model.name} was loaded with {self.options.model | self.options.harness}"
                f"; arguments {options.model | options.harness} need a model of their own."
            )
        other = copy.copy(self)
        other._use(options)
        other.find_circuit()
        other._in_use()
        return other

    def _in_use(self) -> None:
        """Have tasks built from now on fit this model: what is left out depends on it."""
        source, metrics = self.options.model.get("pretrained"), self.settings.metric_names
        base.set_active_tokenizer(self.tokenizer, source, metrics)

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> CircuitLM:
        """Make the model from `--model_args`, into which the default model's name is written.

        lm-eval names the folder of the results after `pretrained`, and makes up a name without it.
        """
        arg_dict.setdefault("pretrained", DISPLAY_NAME)
        return cls(**with_harness_flags(arg_dict, additional_config or {}))

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> CircuitLM:
        """Make the model from `--model_args` as one text."""
        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    def set_cache_hook(self, cache_hook: Any) -> NoReturn:
        """Refuse lm-eval's response cache.

        Raises:
            OptionError: Always.
        """
        raise OptionError(
            "--use_cache cannot be used with --model circuit: it stores responses by prompt and answer "
            "only, and would mix up circuits, methods and models. (--cache_requests is fine.)"
        )

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Answer circuit tasks' requests with an experiment each, all others by the circuit."""
        responses: list[Any] = [None] * len(requests)
        by_task: dict[str, list[int]] = defaultdict(list)
        for at, request in enumerate(requests):
            by_task[request.task_name if request.task_name in TASKS else ""].append(at)
        if "" in by_task:
            self.use_circuit()
        own = {name: [requests[at] for at in places] for name, places in by_task.items()}
        with self.ranks.together():
            prepared = {
                name: self._prepare(TASKS[name], own[name])
                for name in own
                if name and not _answered(own[name])
            }
        for name, places in by_task.items():
            if name and name not in prepared:  # a further size of the tasks without pairs
                answers: Sequence[Any] = [request.resps[0] for request in own[name]]
            elif name:
                with self.ranks.together():
                    answers = self._run(TASKS[name], *prepared[name], own[name])
            else:
                answers = super().loglikelihood(own[name], disable_tqdm=disable_tqdm)
            for at, answer in zip(places, answers, strict=True):
                responses[at] = answer
        return responses

    def get_model_info(self) -> dict[str, Any]:
        """Provenance for the `config` of the results."""
        model = self.circuit_model
        tasks = {name: {**run, "curves": self._curves(name)} for name, run in self._runs.items()}
        return {
            "model_num_parameters": sum(p.numel() for p in model.hf.parameters()),
            "model_dtype": str(model.dtype),
            "model_revision": self.options.model.get("revision", "main"),
            "model_sha": str(getattr(model.hf.config, "_commit_hash", None) or ""),
            "circuit": circuit_section(
                model=model_facts(model, self.options.model.get("pretrained")),
                settings=settings_in_force(self.settings, self.given, self._circuit_option()),
                ordinary_tasks=self.ordinary_facts(),
                versions=versions(),
                load_seconds=self.load_seconds,
                artifacts=None if self.artifacts is None else str(self.options.run["artifacts"]),
                tasks=tasks,
            ),
        }

    def _circuit_option(self) -> str | None:
        circuit = self.options.run.get("circuit")
        return None if circuit is None else str(circuit)

    def _curves(self, name: str) -> dict[str, Any]:
        summary = self._tasks[name].summary
        return {} if summary is None else summary.curves

    def _prepare(
        self, task: CircuitTask, requests: Sequence[Instance]
    ) -> tuple[Experiment, dict[int, Any]]:
        """Check everything about one task, before any task is run; with all its documents."""
        name = task.config.task
        check_with_pairs(self.options, name)
        docs = all_documents(task, requests, self.ranks)
        training = pairs_from_docs(task.training_docs(), f"{name} (training split)")
        evaluation = pairs_from_docs(docs.values(), f"{name} (evaluation split)")
        check_prompts(task, requests, dict(zip(docs, evaluation, strict=True)))
        experiment = Experiment(
            self.circuit_model,
            self.settings,
            training,
            evaluation,
            task_metric=task.metric,
            task=name,
            given=self.given,
            ranks=self.ranks,
        )
        return experiment, docs

    def _run(
        self,
        task: CircuitTask,
        experiment: Experiment,
        docs: dict[int, Any],
        requests: Sequence[Instance],
    ) -> Sequence[tuple[float, bool]]:
        """Run one task's experiment and spread its values over the requests."""
        name, numbers = task.config.task, list(docs)
        result = experiment.run()
        accuracy = accuracy_and_chance(
            result.examples.full_accuracy.tolist(), pairs_from_docs(docs.values(), name)
        )
        model = self.circuit_model.name
        chance = [near_chance_warning(accuracy, name, model)] if accuracy.near_chance else []
        graph, scores = self.circuit_model.graph, result.scores
        known = agreement(scores, task.true_circuit(graph), whole_heads=task.whole_heads)
        draws = {"iters": self.settings.bootstrap_iters, "seed": self.settings.seed}
        records = example_records(result, numbers, **draws, agreement=known)
        if self.artifacts is not None:
            write_artifacts(self.artifacts, name, result, records.values())
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
            "known_circuits": overlap_with_known(
                self.given if scores is None else Given.of(scores), name
            ),
        }
        self._log(result)
        for warning in chance if self.ranks.rank == 0 else ():
            logger.warning(warning)
        log_probs = dict(zip(numbers, result.examples.log_probs, strict=True))
        greedy = dict(zip(numbers, result.examples.greedy, strict=True))
        if task.stands_in:
            return [(0.0, False)] * len(requests)
        return [
            ScoredChoice(log_probs[r.doc_id][r.idx], greedy[r.doc_id][r.idx], records[r.doc_id])
            for r in requests
        ]

    def _log(self, result: Result) -> None:
        graph, facts, settings = self.circuit_model.graph, result.facts, self.settings
        what = f"{settings.method} at {settings.level} level"
        if self.given is not None:
            what = f"{self.given.space.level} scores or circuit from {self.options.run['circuit']}"
        circuits = sum(len(curve.circuits) for curve in result.curves)
        logger.info(
            f"{result.task}: {self.circuit_model.name}, {graph.n_src + 1} nodes and {graph.n_edges} "
            f"edges, {what}; discovery on {facts['n_discovery']} pairs "
            f"{facts['discovery_seconds']:.1f} s, "
            f"evaluation of {circuits} circuits on {facts['n_evaluation']} pairs "
            f"{facts['evaluation_seconds']:.1f} s"
        )


def _answered(requests: Sequence[Instance]) -> bool:
    return all(request.resps for request in requests)
