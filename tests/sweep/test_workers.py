"""The slot in this process: a job runs when it is waited for, or is forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from harness_circuits.sweep import workers
from harness_circuits.sweep.job import Outcome
from harness_circuits.sweep.workers import OwnProcess


def test_one_job_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []

    class Runner:
        def __init__(self, setup: Any) -> None:
            ran.append(setup)

        def run(self, job: Any) -> Outcome:
            ran.append(job)
            return Outcome("done")

    monkeypatch.setattr(workers, "Runner", Runner)
    slot: Any = OwnProcess("setup")  # type: ignore[arg-type]
    assert slot.n == 1 and slot.wait(1) == []
    slot.submit(0, "a")
    assert ran == ["setup"]
    assert slot.wait(1) == [(0, Outcome("done"))] and slot.wait(1) == []
    slot.submit(0, "b")
    slot.stop(0)
    assert slot.wait(1) == [] and ran == ["setup", "a"]
    slot.close()
