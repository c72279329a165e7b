"""Cells: their options, what is wrong with them, and that they are the same however they are written."""

from __future__ import annotations

from typing import Any

from harness_circuits.sweep.cell import Cell
from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.grid import make_grid


def cell(**data: Any) -> Cell:
    (only,) = make_grid(SweepConfig.from_dict({"tasks": "ioi_circuit", **data}))
    return only


def test_options_are_those_of_all_axes_and_of_all_cells() -> None:
    found = cell(
        methods=[{"method": "EAP-IG-inputs", "ig_steps": 3}], seeds=7, options={"n_discovery": 5}
    )
    assert found.task == "ioi_circuit" and found.model == {}
    assert found.settings.chosen_method_options()["ig_steps"] == 3
    assert (found.settings.seed, found.settings.n_discovery, found.problem) == (7, 5, None)
    assert found.value("method").label in found.label and "seed 7" in found.label


def test_the_same_in_other_words_has_the_same_key() -> None:
    explicit = cell(methods=[{"method": "EAP-IG-inputs", "ig_steps": 5}], levels="edge")
    assert explicit.key == cell(methods="EAP-IG-inputs").key
    assert explicit.key != cell(methods="EAP").key
    assert cell(models="gpt2").key != cell().key


def test_a_combination_that_is_not_defined_is_a_problem_and_no_error() -> None:
    found = cell(ablations="zero")
    assert found.problem is not None and "not defined for ablation=zero" in found.problem
    assert found.key != cell().key
