"""What a sweep shows where nobody watches: a line per cell, with the time left."""

from __future__ import annotations

import io

import pytest

from harness_circuits.errors import OptionError
from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.grid import make_grid
from harness_circuits.sweep.job import Outcome, PlannedCell
from harness_circuits.sweep.view import View, duration, try_to_record

CELLS = make_grid(SweepConfig.from_dict({"tasks": "t", "methods": ["EAP", "random", "RelP"]}))
JOBS = [PlannedCell(cell, str(at), f"{at}.json", {}, cost=2.0) for at, cell in enumerate(CELLS)]


def test_every_end_is_a_line_and_the_time_left_follows_from_the_costs() -> None:
    stream = io.StringIO()
    view = View(3, 6.0, 1, stream)
    view.ended(JOBS[0], Outcome("done", 10.0))
    view.ended(JOBS[1], Outcome("failed", 30.0, "it \x1b[31m broke"))
    view.ended(JOBS[2], Outcome("busy"))
    first, second, third = stream.getvalue().splitlines()
    assert first.startswith("[1/3] done: ") and first.endswith(", 10.0 s (20.0 s left)")
    assert "[2/3] failed: " in second and second.endswith("(20.0 s left)") and "\x1b" not in second
    assert third.startswith("[3/3] being run by another sweep: ") and "(finished after " in third


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (187, "3:07 min"), (7500, "2:05 h"), (59.99, "60.0 s")]
)
def test_times_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_cannot_be_recorded_is_said_and_the_sweep_goes_on() -> None:
    said: list[str] = []

    def full() -> None:
        raise OptionError("the device is full")

    try_to_record(full, said.append)
    assert said == ["not recorded: the device is full"]
