"""Tasks without clean/corrupted pairs: lm-eval's HuggingFace machinery with a circuit as the model."""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness_circuits.circuit import Circuit
from harness_circuits.errors import OptionError
from harness_circuits.harness.given import resolve_circuit
from harness_circuits.harness.options import Options
from harness_circuits.harness.sizes import watch_evaluator
from harness_circuits.harness.standin import Standins, check_standins, make_standins
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.scores import Scores


class CircuitHFLM(HFLM):  # type: ignore[misc]
    """lm-eval's `hf` model, run as a circuit."""

    circuit_model: CircuitModel
    options: Options
    given: Scores | Circuit | None

    def start_ordinary(self) -> None:
        """Forget the circuits of earlier options."""
        self._standins: Standins | None = None
        self._size: float | None = self.options.run.get("size")
        if self.options.grid:
            watch_evaluator()

    def find_circuit(self) -> None:
        """Read or discover what `circuit=` names.

        Raises:
            CircuitError: It cannot be used, or not with the options of tasks without pairs.
        """
        self.given = resolve_circuit(self.circuit_model, self.options)
        if self.options.for_ordinary:
            check_standins(self.given, self.options)

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
        if self._standins is None:
            self._standins = make_standins(self.circuit_model, self.given, self.options)
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

    def _model_call(self, *args: Any, **kwargs: Any) -> Any:
        with self.use_circuit().installed():
            return super()._model_call(*args, **kwargs)

    def _model_generate(self, *args: Any, **kwargs: Any) -> Any:
        with self.use_circuit().installed():
            return super()._model_generate(*args, **kwargs)
