"""Tasks without clean/corrupted pairs: lm-eval's HuggingFace machinery with a circuit as the model."""

from __future__ import annotations

from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness_circuits.errors import OptionError
from harness_circuits.harness.circuit_argument import discovered, resolve_circuit
from harness_circuits.harness.options import Options, task_to_discover
from harness_circuits.harness.ordinary_circuits import Standins, check_standins, make_standins
from harness_circuits.harness.run_in_use import RunInUse, run_in_use
from harness_circuits.harness.size_grid import watch_evaluator
from harness_circuits.machine.ranks import Ranks
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.memory import memory_bound, rows_per_call
from harness_circuits.selection.given import Given


class CircuitHFLM(HFLM):  # type: ignore[misc]
    """lm-eval's `hf` model, run as a circuit."""

    circuit_model: CircuitModel
    options: Options
    ranks: Ranks

    def start_ordinary(self) -> None:
        """Forget the circuits of earlier options."""
        self._standins: Standins | None = None
        self._bound: int | None = None
        self._size: float | None = self.options.run.get("size")
        if self.options.grid:
            watch_evaluator()

    def find_circuit(self) -> None:
        """Read what `circuit=` names; what it says to discover waits for the run's tasks.

        Raises:
            CircuitError: It cannot be used, or not with the options of tasks without pairs.
        """
        self._discovered: tuple[RunInUse, Given] | None = None
        self._to_discover = task_to_discover(self.options.run.get("circuit"))
        wait = self._to_discover is not None
        self._read = None if wait else resolve_circuit(self.circuit_model, self.options)
        if self.options.for_ordinary:
            check_standins(self._read, self.options)

    @property
    def given(self) -> Given | None:
        """What `circuit=` names, discovered as soon as it is needed, for the run in use.

        Raises:
            CircuitError: It cannot be discovered.
        """
        if self._to_discover is None:
            return self._read
        run = run_in_use()
        if self._discovered is None or self._discovered[0] != run:
            scores = discovered(self.circuit_model, self._to_discover, self.options)
            self._discovered, self._standins = (run, Given.of(scores)), None
        return self._discovered[1]

    @property
    def grid(self) -> tuple[float, ...]:
        """Sizes that tasks without pairs are evaluated at one by one; empty for a single circuit."""
        return self.options.grid

    @property
    def single_size(self) -> float | None:
        """The size of the metrics that have no size in their names, if there are any."""
        return self.options.run.get("size")

    def use_size(self, size: float | None) -> None:
        """Choose the size that the next tasks without pairs run at; None for none."""
        self._size = size

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Answer by the circuit."""
        self.use_circuit()
        found: list[float] = super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)
        return found

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Generate with the circuit in the model's place at every step."""
        self.use_circuit()
        found: list[str] = super().generate_until(requests, disable_tqdm=disable_tqdm)
        return found

    def use_circuit(self) -> InstalledCircuit:
        """The circuit in use; all of them are made when the first task without pairs comes.

        Raises:
            OptionError: There is none, or it cannot be used.
        """
        given = self.given
        if self._standins is None:
            self._standins = make_standins(self.circuit_model, given, self.options)
        circuits = self._standins.circuits
        key = None if None in circuits else self._size
        if key not in circuits:
            raise OptionError(
                "sizes= runs tasks without pairs once per size, which lm_eval.simple_evaluate and "
                "`lm_eval` do; `evaluate` imported from lm_eval before this model was made does not. "
                "Import it afterwards, or give size=."
            )
        return circuits[key]

    def ordinary_facts(self) -> dict[str, Any] | None:
        """What the results say about the circuits in use, if any was used."""
        return None if self._standins is None else self._standins.to_dict()

    def _model_call(self, inps: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Logits by the circuit, as many rows at a time as `max_memory` allows."""
        with self.use_circuit().installed():
            parts = inps.split(self._rows_at_once(inps))
            found = [super(CircuitHFLM, self)._model_call(x, *args, **kwargs) for x in parts]
        return torch.cat(found) if len(found) > 1 else found[0]

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **how: Any
    ) -> torch.Tensor:
        """Generate by the circuit, as many rows at a time as `max_memory` allows."""
        n = self._rows_at_once(context)
        found: list[torch.Tensor] = []
        with self.use_circuit().installed():
            for first in range(0, len(context), n):
                rows = slice(first, first + n)
                own = {k: v[rows] if k == "attention_mask" else v for k, v in how.items()}
                found += super()._model_generate(context[rows], max_length, stop, **own)
        # Rows of one call end together: those that stopped earlier are padded.
        return torch.nn.utils.rnn.pad_sequence(found, True, self.tokenizer.pad_token_id)

    def _rows_at_once(self, ids: torch.Tensor) -> int:
        """How many rows go through the circuit together."""
        circuit = self.use_circuit().circuit
        if circuit.n_kept == circuit.space.n_units:  # the model itself runs
            return len(ids)
        if self._bound is None:  # what is free is asked once, before any call takes of it
            self._bound = memory_bound(
                self.circuit_model, self.options.settings.max_memory, self.ranks.sharing
            )
        return rows_per_call(self.circuit_model, circuit, ids.shape[1], self._bound)
