"""Tasks without clean/corrupted pairs: a circuit in the model's place, at a size after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from harness_circuits.errors import OptionError
from harness_circuits.harness.circuit_argument import NamedCircuit
from harness_circuits.harness.options import Options
from harness_circuits.harness.ordinary_circuits import Standins, check_standins, make_standins
from harness_circuits.harness.run_in_use import RunInUse, run_in_use
from harness_circuits.machine.ranks import Ranks
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.memory import memory_bound, rows_per_call
from harness_circuits.selection.given import Given


class OrdinaryTasks:
    """The part of `CircuitLM` that puts a circuit in the model's place.

    Attributes:
        model: The model.
        options: What to do.
        circuit: What `circuit=` named.
        ranks: The processes that share the machine's memory.
    """

    def __init__(
        self, model: CircuitModel, options: Options, circuit: NamedCircuit, ranks: Ranks
    ) -> None:
        """Hold what every task needs, checked where options say that there will be any.

        Raises:
            CircuitError: The circuit cannot be used with the options of tasks without pairs.
        """
        self.model, self.options, self.circuit, self.ranks = model, options, circuit, ranks
        if options.for_ordinary:
            check_standins(circuit.read, options)
        self._standins: tuple[tuple[Given | None, RunInUse], Standins] | None = None
        self._bound: int | None = None
        self._size: float | None = self.single_size

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

    def in_use(self) -> InstalledCircuit:
        """The circuit in use; all of them are made when the first task without pairs comes.

        Raises:
            OptionError: There is none, or it cannot be used.
        """
        given, run = self.circuit.given, run_in_use()  # means of a task are the run's, too
        made = self._standins
        if made is None or made[0][0] is not given or made[0][1] != run:
            made = self._standins = (given, run), make_standins(self.model, given, self.options)
        circuits = made[1].circuits
        key = None if None in circuits else self._size
        if key not in circuits:
            raise OptionError(
                "sizes= runs tasks without pairs once per size, which lm_eval.simple_evaluate and "
                "`lm_eval` do; `evaluate` imported from lm_eval before this model was made does not. "
                "Import it afterwards, or give size=."
            )
        return circuits[key]

    def facts(self) -> dict[str, Any] | None:
        """What the results say about the circuits in use, if any was used."""
        return None if self._standins is None else self._standins[1].to_dict()

    def logits(self, ids: Tensor, call: Callable[[Tensor], Tensor]) -> Tensor:
        """What a call of the model returns with the circuit in its place.

        Args:
            ids: Tokens [row, position].
            call: Runs the model on rows of them.

        Returns:
            What `call` does, from as many rows at a time as `max_memory` allows.
        """
        with self.in_use().installed():
            found = [call(rows) for rows in ids.split(self.rows_at_once(ids))]
        return torch.cat(found) if len(found) > 1 else found[0]

    def generated(
        self, context: Tensor, how: Mapping[str, Any], call: Callable[..., Tensor], pad: int
    ) -> Tensor:
        """What the model generates with the circuit in its place.

        Args:
            context: Prompts' tokens [row, position].
            how: Options of `call`, of which `attention_mask` is by row.
            call: Generates from rows of the prompts.
            pad: The token behind rows that end before others.

        Returns:
            Tokens [row, position], from as many rows at a time as `max_memory` allows.
        """
        n = self.rows_at_once(context)
        found: list[Tensor] = []
        with self.in_use().installed():
            for first in range(0, len(context), n):
                rows = slice(first, first + n)
                own = {k: v[rows] if k == "attention_mask" else v for k, v in how.items()}
                found += call(context[rows], **own)
        # Rows of one call end together: those that stopped earlier are padded.
        return torch.nn.utils.rnn.pad_sequence(found, True, pad)

    def rows_at_once(self, ids: Tensor) -> int:
        """How many rows go through the circuit together."""
        circuit = self.in_use().circuit
        if circuit.n_kept == circuit.space.n_units:  # the model itself runs
            return len(ids)
        if self._bound is None:  # what is free is asked once, before any call takes of it
            wanted = self.options.settings.max_memory
            self._bound = memory_bound(self.model, wanted, self.ranks.sharing)
        return rows_per_call(self.model, circuit, ids.shape[1], self._bound)
