"""What goes between the processes of a sweep: plain values that come out as they went in."""

from __future__ import annotations

import pickle

from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.grid import make_grid
from harness_circuits.sweep.job import Outcome, PlannedCell, Setup

SETUP = Setup("results", ("t",), (), {"n_train": 3, "pretrained": "other"}, None)


def test_all_of_it_can_be_sent() -> None:
    (cell,) = make_grid(SweepConfig.from_dict({"tasks": "t", "methods": "EAP"}))
    _ = cell.settings, cell.key  # what was worked out goes along
    for item in (SETUP, PlannedCell(cell, "i", "f", {}), Outcome("failed", 1.0, "a", "b")):
        assert pickle.loads(pickle.dumps(item)) == item


def test_a_tasks_metadata_are_the_models_arguments_and_what_was_given_wins() -> None:
    found = SETUP.task_metadata({"pretrained": "gpt2", "revision": "x"})
    assert found == {"pretrained": "other", "revision": "x", "n_train": 3}
