"""What planning needs to know about a task."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.sweep_files import result_files, write_sweep

from harness_circuits.commands.sweep import sweep_command

Sweep = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Without the description of the environment, which takes more than a second per cell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        yield


@pytest.fixture
def sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Run a sweep of a tiny model in this process: exit code and output."""

    def run(*arguments: str, **changes: Any) -> tuple[int, str]:
        path = write_sweep(tmp_path, **changes)
        code = sweep_command([str(path), "--processes", "0", *arguments])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def test_tasks_learn_which_model_they_are_for(tmp_path: Path) -> None:
    models = ["ground-truth:induction", "ground-truth:inhibition"]
    data = {"models": models, "tasks": ["ground_truth_circuit"], "methods": ["random"]}
    (tmp_path / "sweep.yaml").write_text(
        yaml.safe_dump({**data, "limit": 4, "options": {"n_discovery": 4, "bootstrap_iters": 20}})
    )
    results = tmp_path / "results"
    sweep = [str(tmp_path / "sweep.yaml"), "--results", str(results), "--processes", "0"]
    assert sweep_command(sweep) == 0
    for file in result_files(tmp_path):
        values = json.loads(file.read_text())["results"]["ground_truth_circuit"]
        assert values["acc,none"] == 1
