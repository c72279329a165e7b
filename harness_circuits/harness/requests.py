"""What goes between circuit tasks and `--model circuit` with lm-eval's requests and responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lm_eval.api.instance import Instance

from harness_circuits.evaluation.summary import ExampleRecord

if TYPE_CHECKING:
    from harness_circuits.harness.task import CircuitTask

_TASK = "circuit_task"  # the attribute of a request that holds its task


def sign(request: Instance, task: CircuitTask) -> None:
    """Have a request know its task: several tasks of one name may be there, one per model."""
    setattr(request, _TASK, task)


def task_of(request: Instance) -> CircuitTask | None:
    """The circuit task that made a request; None where another task did."""
    return getattr(request, _TASK, None)


class ScoredChoice(tuple[float, bool]):
    """A response (log-likelihood, is greedy) that brings its document's circuit evaluation along."""

    record: ExampleRecord

    def __new__(cls, log_prob: float, greedy: bool, record: ExampleRecord) -> ScoredChoice:
        """Make a response; it compares and prints as the plain pair."""
        self = super().__new__(cls, (log_prob, greedy))
        self.record = record
        return self

    def __reduce__(self) -> tuple[type, tuple[float, bool, ExampleRecord]]:
        return type(self), (self[0], self[1], self.record)
