"""Gives jobs to workers, models kept together, and records what becomes of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness_circuits.sweep.job import Outcome, PlannedCell
from harness_circuits.sweep.state import Failure, State
from harness_circuits.sweep.view import View
from harness_circuits.sweep.workers import Workers

ATTEMPTS = 2  # of a job whose process died
BUSY_ATTEMPTS = 3  # of a job that another sweep holds: one that was killed lets go a little later
BUSY_PAUSE = 1.0  # seconds
TICK = 1.0  # seconds between two looks at the clock


@dataclass
class Schedule:
    """One run of jobs on workers.

    Attributes:
        state: Where failures are recorded.
        workers: Who runs the jobs.
        view: Who is told.
        waiting: Jobs to start.
        running: Cell per busy slot.
        longest: Seconds after which a job is ended; None for no limit.
        counts: How many jobs ended in which way.
    """

    state: State
    workers: Workers
    view: View
    waiting: list[PlannedCell]
    longest: float | None = None
    running: dict[int, PlannedCell] = field(default_factory=dict)
    started: dict[int, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    models: dict[int, str] = field(default_factory=dict)

    def run(self) -> Counter[str]:
        """Run everything; returns how many jobs ended in which way."""
        while self.waiting or self.running:
            for slot in range(self.workers.n):
                if slot not in self.running and self.waiting:
                    self._start(slot)
            self.view.show(self.running.values())
            for slot, outcome in self.workers.wait(TICK):
                self._ended(self.running.pop(slot), outcome)
            self._end_what_takes_too_long()
        return self.counts

    def _end_what_takes_too_long(self) -> None:
        for slot, job in list(self.running.items()):
            seconds = time.perf_counter() - self.started[slot]
            if self.longest is not None and seconds > self.longest:
                self.workers.stop(slot)
                del self.running[slot]
                self.models.pop(slot, None)
                error = f"ended after cell_timeout={self.longest:g} seconds"
                self._ended(job, Outcome("failed", seconds, error))

    def _start(self, slot: int) -> None:
        others = {_model(job) for job in self.running.values()}
        job = next_job(self.waiting, self.models.get(slot), others)
        if self.busy[job.identity]:
            time.sleep(BUSY_PAUSE)
        self.waiting.remove(job)
        self.running[slot] = job
        self.models[slot] = _model(job)
        self.started[slot] = time.perf_counter()
        self.workers.submit(slot, job)

    def _ended(self, job: PlannedCell, outcome: Outcome) -> None:
        attempts = 1
        if outcome.status == "died":
            self.deaths[job.identity] += 1
            attempts = self.deaths[job.identity]
            if attempts < ATTEMPTS:
                self.view.note(f"{job.cell.label}: {outcome.error}; trying it again")
                self.waiting.insert(0, job)
                return
            outcome = Outcome("failed", outcome.seconds, outcome.error, outcome.details)
        elif outcome.status == "busy":
            self.busy[job.identity] += 1
            if self.busy[job.identity] < BUSY_ATTEMPTS:
                self.waiting.append(job)
                return
        if outcome.status == "failed":
            label, error = job.cell.label, outcome.error
            failure = Failure(job.identity, label, error, outcome.details, attempts)
            self.view.try_to_record(lambda: self.state.write_failure(failure))
        elif outcome.status in ("done", "present"):
            self.view.try_to_record(lambda: self.state.clear_failure(job.identity))
        self.counts[outcome.status] += 1
        self.view.ended(job, outcome)


def next_job(
    waiting: Sequence[PlannedCell], loaded: str | None, elsewhere: set[str]
) -> PlannedCell:
    """The job that costs a slot the least loading.

    The first of the model that the slot has loaded; else of one that no other slot is at; else of
    the model with the most jobs waiting.
    """
    counts = Counter(_model(job) for job in waiting)
    model = loaded
    if model not in counts:
        free = [name for name in counts if name not in elsewhere]
        model = free[0] if free else counts.most_common(1)[0][0]
    return next(job for job in waiting if _model(job) == model)


def _model(job: PlannedCell) -> str:
    return job.cell.value("model").label
