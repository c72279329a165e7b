"""What a sweep will do: the cells, what is there already, and how long the rest takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.sweep_files import write_sweep

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


def test_dry_run_shows_the_grid_and_leaves_nothing(sweep: Sweep, tmp_path: Path) -> None:
    code, output = sweep("--dry-run", methods=["EAP", "exact"], ablations=["patching", "zer"])
    assert code == 0
    assert "~ " in output
    assert "2 cells to run, 0 present, 2 refused" in output
    assert output.count("Unknown ablation 'zer'") == 2
    assert not (tmp_path / "results").exists()


def test_dry_run_knows_what_is_there_and_how_long_it_took(sweep: Sweep) -> None:
    sweep(methods="EAP")
    _, output = sweep("--dry-run")
    assert "present  tiny · tiny_ioi · EAP" in output
    assert "1 cells to run, 1 present, 0 refused" in output
    assert "estimated from results of the same model" in output
