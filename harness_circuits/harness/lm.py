"""`--model circuit`: lm-eval's HuggingFace model, which also finds and evaluates circuits.

Requests of circuit tasks (`CircuitTask`) trigger one experiment per task: discovery on the task's
training split, evaluation on the documents the harness asked for (so `--limit` holds). Their
responses are the full model's log-likelihoods with the evaluation attached. All other requests go
through lm-eval's machinery, with a circuit in the model's place.

`CircuitLM` answers lm-eval and holds the parts that do the work: `circuit` (what `circuit=` named,
`circuit_argument.py`), `paired` (`paired.py`), `ordinary` (`ordinary.py`), `ranks`.
"""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness_circuits.errors import OptionError
from harness_circuits.harness.before_loading import NO_CACHE
from harness_circuits.harness.circuit_argument import NamedCircuit, scorer_in_force
from harness_circuits.harness.command_line import read_text
from harness_circuits.harness.options import Options, read_options, with_harness_flags
from harness_circuits.harness.ordinary import OrdinaryTasks
from harness_circuits.harness.paired import PairedTasks
from harness_circuits.harness.patches import tell_tasks_their_model
from harness_circuits.harness.processes import (
    check_device_map,
    device_of,
    gather_objects,
    without_warnings,
)
from harness_circuits.harness.run_facts import run_facts
from harness_circuits.harness.task import CircuitTask, task_of
from harness_circuits.loading.default_model import DISPLAY_NAME, is_default_model
from harness_circuits.loading.load import load_model
from harness_circuits.loading.loaded import named
from harness_circuits.machine.ranks import join_processes
from harness_circuits.records.artifacts import check_folder
from harness_circuits.task_data.scorer import Scorer


class CircuitLM(HFLM):  # type: ignore[misc]
    """The model `circuit` of lm-eval.

    Attributes:
        options: What `--model_args` say.
        circuit_model: The model, taken apart.
        circuit: What `circuit=` named.
        paired: Runs circuit tasks.
        ordinary: Runs all other tasks on a circuit.
        ranks: The processes that share the run.
    """

    def __init__(self, **arguments: Any) -> None:
        """Validate all arguments, then load the model.

        Args:
            **arguments: `--model_args`, and what lm-eval adds (batch size, device).

        Raises:
            CircuitError: An argument, the model, or their combination cannot be used.
        """
        self.ranks, accelerator = join_processes()
        with self.ranks.together():
            options = read_options(arguments)
            artifacts = self._artifacts(options)
            check_device_map(options.model.get("device_map"), self.ranks.on_machine)
            started = time.perf_counter()
            self.circuit_model = load_model(**options.model | device_of(accelerator))
            self.load_seconds = time.perf_counter() - started
            self._hold(options, artifacts)
        with without_warnings("Passed an already-initialized model", "not of type `str`"):
            super().__init__(
                pretrained=self.circuit_model.hf,
                tokenizer=self.circuit_model.tokenizer,
                **self.options.harness | self.options.text,
            )
        if accelerator is not None:  # lm-eval does not do so for a model that is loaded
            self._rank, self._world_size = self.ranks.rank, self.ranks.size
            self.accelerator = accelerator
        tell_tasks_their_model()

    def _artifacts(self, options: Options) -> Path | None:
        """The folder of artifacts, made, where this process writes any."""
        folder = options.run.get("artifacts")
        wanted = folder is not None and self.ranks.rank == 0
        return check_folder(str(folder)) if wanted else None

    def _hold(self, options: Options, artifacts: Path | None) -> None:
        """Make the parts anew under some options, for the loaded model."""
        self.options = options
        self.circuit = NamedCircuit(self.circuit_model, options)
        shared = self.circuit_model, options, self.circuit, self.ranks
        self.paired = PairedTasks(*shared, artifacts)
        self.ordinary = OrdinaryTasks(*shared)

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
        other = copy.copy(self)  # lm-eval's part is the same; all of ours are made anew
        other._hold(options, self._artifacts(options))
        return other

    @property
    def scorer(self) -> Scorer:
        """This model as a task's data see it: what is left out depends on it."""
        return scorer_in_force(self.circuit_model, self.options.settings)

    @classmethod
    def create_from_arg_obj(
        cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None
    ) -> CircuitLM:
        """Make the model from `--model_args`, into which the name of the model is written.

        lm-eval names the folder of the results after `pretrained`, and makes up a name without it; of
        models and tokenizers that Python code has loaded, results have the name only.
        """
        if is_default_model(arg_dict.get("pretrained")):
            arg_dict["pretrained"] = DISPLAY_NAME
        lm = cls(**with_harness_flags(arg_dict, additional_config or {}))
        arg_dict |= named(arg_dict)
        return lm

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> CircuitLM:
        """Make the model from `--model_args` as one text."""
        return cls.create_from_arg_obj(read_text(arg_string), additional_config)

    def set_cache_hook(self, cache_hook: Any) -> NoReturn:
        """Refuse lm-eval's response cache.

        Raises:
            OptionError: Always.
        """
        raise OptionError(NO_CACHE)

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """All processes' objects on one of them, None on the others."""
        return gather_objects(self.ranks, obj, dst)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Answer circuit tasks' requests with an experiment each, all others by the circuit."""
        by_task: dict[CircuitTask | None, list[int]] = defaultdict(list)
        for at, request in enumerate(requests):
            by_task[task_of(request)].append(at)
        own = {task: [requests[at] for at in places] for task, places in by_task.items()}
        others = own.pop(None, None)
        if others is not None:
            self.ordinary.in_use()
        prepared = self.paired.prepare({task: own[task] for task in own if task is not None})
        responses: list[Any] = [None] * len(requests)
        for task, places in by_task.items():
            if task is not None:
                answers = self.paired.answers(prepared[task])
            else:
                answers = super().loglikelihood(others, disable_tqdm=disable_tqdm)
            for at, answer in zip(places, answers, strict=True):
                responses[at] = answer
        return responses

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Answer by the circuit."""
        self.ordinary.in_use()
        found: list[float] = super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)
        return found

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Generate with the circuit in the model's place at every step."""
        self.ordinary.in_use()
        found: list[str] = super().generate_until(requests, disable_tqdm=disable_tqdm)
        return found

    def _model_call(self, inps: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Logits by the circuit; lm-eval calls this for all it scores."""
        call = super()._model_call
        return self.ordinary.logits(inps, lambda rows: call(rows, *args, **kwargs))

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **how: Any
    ) -> torch.Tensor:
        """Tokens generated by the circuit; lm-eval calls this for all it generates."""
        call = partial(super()._model_generate, max_length=max_length, stop=stop)
        return self.ordinary.generated(context, how, call, self.tokenizer.pad_token_id)

    def get_model_info(self) -> dict[str, Any]:
        """Provenance for the `config` of the results."""
        parts = self.circuit_model, self.options, self.circuit, self.paired, self.ordinary
        return run_facts(*parts, load_seconds=self.load_seconds)
