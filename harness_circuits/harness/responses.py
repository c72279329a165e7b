"""What goes from `--model circuit` to circuit tasks with lm-eval's responses."""

from __future__ import annotations

from harness_circuits.evaluation.summary import ExampleRecord


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
