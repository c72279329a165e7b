"""What a sweep's folder remembers of cells that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
from helpers.sweep_files import result_files, write_sweep
from helpers.tiny_tasks import TASK

from harness_circuits.commands.sweep import sweep_command
from harness_circuits.experiment import Experiment
from harness_circuits.sweep.state import State

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


def failures(folder: Path) -> list[str]:
    return sorted(failure.error for failure in State(folder / "results").failures().values())


def test_cells_that_cannot_be_run_are_recorded_and_stop_nothing(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = lm_eval.tasks.TaskManager
    only_ours = lambda **how: scan(**{**how, "include_defaults": False})  # noqa: E731
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", only_ours)
    (tmp_path / "empty").mkdir()
    models = [str(tmp_path / "nothing"), str(tmp_path / "empty"), str(tmp_path / "tiny")]
    code, output = sweep(
        models=models,
        methods=["EAP", "EAPS"],
        tasks=[TASK, "no_task"],
        exclude=[{"model": models[:2], "method": "EAPS"}, {"method": "EAPS", "task": "no_task"}],
    )
    assert code == 1
    assert "1 cells done, 0 present, 6 failed" in output
    errors = failures(tmp_path)
    assert len(errors) == 6
    text = "\n".join(errors)
    assert "nothing does not exist" in text
    assert "empty" in text
    assert "Unknown task 'no_task'" in text
    assert "Unknown attribution method 'EAPS'. Did you mean 'EAP'?" in text
    assert len(result_files(tmp_path)) == 1


def test_a_cell_that_fails_is_recorded_retried_and_forgotten_after_success(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Experiment.run

    def fail(self: Experiment) -> Any:
        if self.setup.settings.method == "EAP":
            raise MemoryError("no room")
        return original(self)

    monkeypatch.setattr(Experiment, "run", fail)
    code, output = sweep()
    assert (code, "1 cells done, 0 present, 1 failed" in output) == (1, True)
    assert "MemoryError: no room" in output
    (failure,) = State(tmp_path / "results").failures().values()
    assert failure.error == "MemoryError: no room"
    assert "in fail" in failure.details
    assert failure.when > 0
    code, output = sweep("--skip-failed")
    assert (code, "skipped, failed before" in output) == (1, True)
    monkeypatch.undo()
    code, output = sweep()
    assert (code, "1 cells done, 1 present, 0 failed" in output) == (0, True)
    assert failures(tmp_path) == []
