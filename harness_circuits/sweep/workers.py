"""What the scheduler needs of an executor, and the simplest one."""

from __future__ import annotations

from typing import Protocol

from harness_circuits.sweep.job import Outcome, PlannedCell, Setup
from harness_circuits.sweep.runner import Runner


class Workers(Protocol):
    """Slots that run one job at a time each, and keep the model of their last one."""

    n: int

    def submit(self, slot: int, job: PlannedCell) -> None:
        """Start a job in a free slot."""

    def wait(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Slots whose jobs have ended, and how; none after so many seconds without any."""

    def stop(self, slot: int) -> None:
        """End a busy slot's job, however it hangs; the slot is free again."""

    def close(self) -> None:
        """Stop what is running and free everything."""


class OwnProcess:
    """One slot, in this process: starts fastest, and goes down with a job that is killed."""

    def __init__(self, setup: Setup) -> None:
        """Make the slot."""
        self.n = 1
        self._runner = Runner(setup)
        self._job: PlannedCell | None = None

    def submit(self, slot: int, job: PlannedCell) -> None:
        """Take a job; it runs in `wait`."""
        self._job = job

    def wait(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Run the job."""
        job, self._job = self._job, None
        return [] if job is None else [(0, self._runner.run(job))]

    def stop(self, slot: int) -> None:
        """Forget a job that has not begun: one that has cannot be ended from within its process."""
        self._job = None

    def close(self) -> None:
        """Nothing is left running."""
