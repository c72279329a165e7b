"""A circuit installed in a HuggingFace model: every forward of the model runs the circuit.

With replacements that are the same at every position (`zero`, `mean`), the ablated stream is the same
for all tokens, apart from learned position embeddings. It is worked out once and expanded to
whatever the model is called with: any batch, padding, and single tokens with a key/value cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from harness_circuits.circuits.circuit import Circuit, check_same_graph
from harness_circuits.circuits.scores import HIDDEN_UNITS
from harness_circuits.errors import MismatchError
from harness_circuits.models.circuit_model import CircuitModel, Inputs
from harness_circuits.models.positions import positions_of
from harness_circuits.passes.ablated import AblatedStream, Room
from harness_circuits.passes.circuit_run import CircuitRun, run_block
from harness_circuits.passes.hidden_run import HiddenRun, kept_units
from harness_circuits.passes.native import Outputs, Residual


class InstalledCircuit:
    """A circuit that stands in for the whole model, with constant replacements.

    Attributes:
        model: The model.
        circuit: What is kept.
        constant: Replacement outputs of batch and position size 1.
    """

    def __init__(self, model: CircuitModel, circuit: Circuit, constant: Outputs) -> None:
        """Work out the ablated stream.

        Args:
            model: The model.
            circuit: What is kept, over the model's own graph.
            constant: What replaces every source's output, of batch and position size 1.

        Raises:
            MismatchError: The circuit belongs to another graph, or is over spans of prompts.
        """
        check_same_graph(circuit.space, model.graph, model.name)
        if circuit.space.spans is not None:
            raise MismatchError(
                "A circuit over spans runs on the pairs whose spans these are; other texts have none. "
                "Discover with positions=none for ordinary tasks."
            )
        assert constant.embedded.shape[:2] == (1, 1)
        self.model, self.circuit, self.constant = model, circuit, constant
        self._positions: Tensor | None = None
        self._run: CircuitRun | None = None
        self._hidden: HiddenRun | None = None
        if circuit.space.level == HIDDEN_UNITS:
            self._hidden = HiddenRun(model, kept_units([circuit]), constant)
            return
        self._one = None
        self._room = Room()
        if model.position_table is None:
            ids = torch.zeros((1, 1), dtype=torch.long)
            self._one = AblatedStream(
                model, Inputs(ids, torch.zeros(1, dtype=torch.long)), constant, self._room
            )

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within this context the HuggingFace model is the circuit; a full circuit leaves it be."""
        if self.circuit.n_kept == self.circuit.space.n_units:
            yield
            return
        table, hook = self.model.position_table, None
        if table is not None and self._hidden is None:
            hook = table.register_forward_pre_hook(self._note_positions, with_kwargs=True)
        try:
            with torch.no_grad(), self.model.blocks_replaced(self):
                yield
        finally:
            self._run = None
            if hook is not None:
                hook.remove()

    def __call__(self, index: int, x: Residual, arguments: dict[str, Any]) -> Residual:
        """Run one block of the circuit."""
        if self._hidden is not None:
            return self._hidden(index, x, arguments)
        if index == 0:
            self._run = self._start(x)
        run = self._run
        assert run is not None
        if not len(run.mixer.heads_needed(index)):
            _lengthen_cache(index, x, arguments)
        out = run_block([run], index, x, arguments)
        if index == self.model.graph.n_layers - 1:
            self._run = None
        return out

    def _note_positions(self, _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._run is None:  # the run itself reads the table as well
            self._positions = positions_of(args, kwargs)

    def _start(self, x: Residual) -> CircuitRun:
        ids = torch.zeros(x.shape[:2], dtype=torch.long)
        positions = None
        if self._one is None:
            assert self._positions is not None
            positions = self._positions.reshape(-1, x.shape[1])
        inputs = Inputs(ids, torch.zeros(1, dtype=torch.long), positions)
        if self._one is None:
            stream = AblatedStream(self.model, inputs, self.constant, self._room)
        else:
            stream = self._one.spread(*x.shape[:2])
        return CircuitRun(self.circuit, inputs, stream)


def _lengthen_cache(index: int, x: Residual, arguments: dict[str, Any]) -> None:
    """Note the tokens of a layer whose attention is skipped: masks are built from cache lengths."""
    for cache in (value for value in arguments.values() if isinstance(value, Cache)):
        empty = x.new_zeros((x.shape[0], 1, x.shape[1], 1))
        cache.update(empty, empty, index)
