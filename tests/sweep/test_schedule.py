"""Which job a slot gets next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.sweep_workers import plan_of, scheduled

from harness_circuits.sweep import schedule
from harness_circuits.sweep.job import Outcome
from harness_circuits.sweep.schedule import next_job


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        patch.setattr(schedule, "BUSY_PAUSE", 0.0)
        yield


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
