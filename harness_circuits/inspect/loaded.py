"""A model of `--model circuit/NAME`: loaded when it is first used, and run by one thread at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import anyio
from anyio import from_thread, to_thread
from inspect_ai.util import display_counter

from harness_circuits.harness.circuit_argument import NamedCircuit
from harness_circuits.harness.options import Options, read_options
from harness_circuits.harness.ordinary import OrdinaryTasks
from harness_circuits.harness.paired import PairedTasks
from harness_circuits.harness.run_facts import run_facts
from harness_circuits.loading.load import load_model
from harness_circuits.machine.progress import told_by
from harness_circuits.machine.ranks import ALONE
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.records.artifacts import check_folder

T = TypeVar("T")


class Loaded:
    """The model with what lm-eval's `--model circuit` holds beside it.

    Attributes:
        arguments: `-M`, with the model's name.
        options: The same, read.
        lock: Held while the model runs.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        """Check the arguments; nothing is loaded.

        Raises:
            CircuitError: One cannot be used.
        """
        self.arguments = dict(arguments)
        self.options = read_options(arguments)
        self.lock = anyio.Lock()
        self.load_seconds = 0.0

    @cached_property
    def model(self) -> CircuitModel:
        """The model, taken apart."""
        started = time.perf_counter()
        model = load_model(**self.options.model)
        self.load_seconds = time.perf_counter() - started
        return model

    @cached_property
    def ordinary(self) -> OrdinaryTasks:
        """What puts a circuit in the model's place."""
        circuit = NamedCircuit(self.model, self.options)
        return OrdinaryTasks(self.model, self.options, circuit, ALONE)

    def paired(self, options: Options) -> PairedTasks:
        """What runs circuit tasks under some options."""
        folder = options.run.get("artifacts")
        artifacts = None if folder is None else check_folder(str(folder))
        circuit = NamedCircuit(self.model, options)
        return PairedTasks(self.model, options, circuit, ALONE, artifacts)

    def facts(self, paired: PairedTasks) -> dict[str, Any]:
        """What results say about a run of circuit tasks."""
        options, circuit = paired.options, paired.circuit
        ordinary = OrdinaryTasks(self.model, options, circuit, ALONE)
        return run_facts(
            self.model, options, circuit, paired, ordinary, load_seconds=self.load_seconds
        )

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Run something that uses the model in a worker thread, and show how far it is.

        Whoever calls holds `lock`. What has begun is brought to its end.
        """

        def tell(what: str, how_far: str) -> None:
            from_thread.run_sync(display_counter, what, how_far)

        def run() -> T:
            with told_by(tell):
                return function()

        with anyio.CancelScope(shield=True):
            found = await to_thread.run_sync(run)
        return found
