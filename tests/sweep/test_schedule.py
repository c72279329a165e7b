"""Which job a slot gets next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.sweep_files import sweep_data

from harness_circuits.sweep import schedule
from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.job import Outcome, PlannedCell
from harness_circuits.sweep.plan import Plan, make_plan
from harness_circuits.sweep.schedule import Schedule, next_job
from harness_circuits.sweep.state import State
from harness_circuits.sweep.view import View


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        patch.setattr(schedule, "BUSY_PAUSE", 0.0)
        yield


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


def test_a_cell_held_elsewhere_is_tried_after_the_others(tmp_path: Path) -> None:
    busy, done = Outcome("busy"), Outcome("done", 1.0)
    run, workers = scheduled(tmp_path, {"EAP": [busy, Outcome("present")], "random": [done]})
    assert run.run() == {"present": 1, "done": 1}
    assert [method for _, method in workers.started] == ["EAP", "random", "EAP"]


def test_slots_keep_their_model_and_spread_over_models(tmp_path: Path) -> None:
    models = [{"pretrained": str(tmp_path / "tiny"), "dtype": d} for d in ("float32", "float64")]
    jobs = plan_of(tmp_path, models=models).jobs
    names = [job.cell.value("model").label for job in jobs]
    first, last = names[0], names[-1]
    assert names == [first, first, last, last]
    assert next_job(jobs, None, set()) is jobs[0]
    assert next_job(jobs, last, set()) is jobs[2]
    assert next_job(jobs, None, {first}) is jobs[2]
    assert next_job(jobs, None, {first, last}) is jobs[0]
    assert next_job(jobs[:2], last, {first}) is jobs[0]
