"""Workers of a sweep that only say what they would do."""

from __future__ import annotations

from pathlib import Path

from helpers.sweep_files import sweep_data

from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.job import Outcome, PlannedCell
from harness_circuits.sweep.plan import Plan, make_plan
from harness_circuits.sweep.schedule import Schedule
from harness_circuits.sweep.state import State
from harness_circuits.sweep.view import View


def plan_of(folder: Path, **changes: object) -> Plan:
    return make_plan(SweepConfig.from_dict(sweep_data(folder, **changes)))


class Fake:
    """Workers that answer from a script: outcomes by method, in order."""

    def __init__(self, script: dict[str, list[Outcome]], n: int = 1) -> None:
        self.n, self.script = n, script
        self.started: list[tuple[int, str]] = []
        self.running: dict[int, str] = {}

    def submit(self, slot: int, job: PlannedCell) -> None:
        assert slot not in self.running
        self.running[slot] = job.cell.settings.method
        self.started.append((slot, job.cell.settings.method))

    def wait(self, seconds: float) -> list[tuple[int, Outcome]]:
        slot, method = self.running.popitem()
        return [(slot, self.script[method].pop(0))]

    def close(self) -> None:
        """Nothing to do."""


def scheduled(folder: Path, script: dict[str, list[Outcome]], n: int = 1) -> tuple[Schedule, Fake]:
    plan = plan_of(folder, methods=list(script))
    workers = Fake(script, n)
    view = View(len(plan.jobs), 0.0, n)
    return Schedule(State(folder / "results"), workers, view, list(plan.jobs)), workers
