"""sweep.yaml is read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness_circuits.errors import CircuitError, OptionError
from harness_circuits.sweep.cell import Cell
from harness_circuits.sweep.config import SweepConfig, read_config
from harness_circuits.sweep.grid import make_grid


def cells_of(data: dict[str, Any]) -> tuple[Cell, ...]:
    return make_grid(SweepConfig.from_dict(data))


REFUSED = [
    ({}, "tasks is missing"),
    ([1], "A sweep is a mapping"),
    ({"tasks": []}, "tasks is empty"),
    ({"tasks": [3]}, "tasks[0]: task is a task's name, got 3"),
    ({"tasks": ["a", "a"]}, "tasks[1]: a is there twice"),
    ({"tasks": ["a"], "method": ["EAP"]}, "Unknown key 'method'. Did you mean 'methods'?"),
    ({"tasks": ["a"], "seeds": ["0"]}, "seed is a whole number from 0 to 4294967295, got '0'"),
    ({"tasks": ["a"], "sizes": ["x"]}, "sizes are fractions"),
    ({"tasks": ["a"], "models": [{"pretrainde": "x"}]}, "Did you mean 'pretrained'?"),
    ({"tasks": ["a"], "methods": [{"ig_steps": 3}]}, "methods[0]: method is missing"),
    ({"tasks": ["a"], "options": {"n_discovry": 3}}, "Did you mean 'n_discovery'?"),
    ({"tasks": ["a"], "options": {"seed": 3}}, "options: seed is an axis of the grid"),
    ({"tasks": ["a"], "options": {"ig_steps": 3}}, "ig_steps stands beside its method, in methods"),
    ({"tasks": ["a"], "options": 3}, "options is a mapping, got 3"),
    ({"tasks": ["a"], "limit": 0}, "limit is a whole number from 1 to 1000000000, got 0"),
    ({"tasks": ["a"], "limit": True}, "limit is a whole number"),
    ({"tasks": ["a"], "results": ""}, "results is a path"),
    ({"tasks": ["a"], "artifacts": "some"}, "Unknown artifacts 'some'"),
    ({"tasks": ["a"], "exclude": [{"levels": "edge"}]}, "Did you mean 'level'?"),
    ({"tasks": ["a"], "exclude": ["EAP"]}, "exclude[0]: a rule is a mapping"),
    ({"tasks": ["a"], "exclude": [{"method": "EAPP"}]}, "matches no cell: method: EAPP"),
    ({"tasks": ["a"], "exclude": [{"task": "a"}]}, "No cell is left"),
    ({"tasks": ["a"], "include": [{"sizes": "x"}]}, "sizes are fractions"),
    ({"tasks": ["a"], "models": [{"trust_remote_code": "no"}]}, "trust_remote_code is true or"),
    ({"tasks": ["a"], "models": [{"batch_size": float("inf")}]}, "batch_size is a whole number"),
    ({"tasks": ["a"], "options": {"n_discovery": "9"}}, "options.n_discovery is a whole number"),
    ({"tasks": ["a"], "methods": [{"method": "RelP", "ln_rule": "off"}]}, "ln_rule is true or fa"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED)
def test_what_cannot_be_meant_is_refused(data: Any, message: str) -> None:
    with pytest.raises(CircuitError) as caught:
        cells_of(data)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: [a]\ntasks: [b]\n", "the key 'tasks' is there twice"),
        ("tasks: [a\n", "is not YAML"),
        ("tasks: !!python/object/apply:os.getcwd []\n", "is not YAML"),
        ("levls: [a]\n", "Did you mean 'levels'?"),
    ],
)
def test_files_are_read_strictly(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(text)
    with pytest.raises(OptionError) as caught:
        read_config(path)
    assert message in str(caught.value)
    assert "sweep.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"nothing\.yaml cannot be read"):
        read_config(tmp_path / "nothing.yaml")
