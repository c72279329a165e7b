"""`harness-circuits tasks` and the overview: everything there is has a line."""

from __future__ import annotations

import pytest
from helpers.environments import ROOT

from harness_circuits.commands import main as program
from harness_circuits.commands.main import COMMANDS, main
from harness_circuits.commands.tasks import read_tasks


def test_every_task_and_group_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    found = dict(read_tasks(ROOT / "tasks"))
    assert sorted(line.split()[0] for line in lines) == sorted(found)
    for line in lines:
        config = found[line.split()[0]]
        members, metadata = config["task"], config["metadata"]
        kind = f"{len(members)} tasks" if isinstance(members, list) else metadata["task_metric"]
        assert kind in line
        assert line.endswith(f"  {metadata['about']}")
        assert len(line) <= 120
    suite = found["circuit_suite"]["task"]
    assert set(suite) < set(found)


def test_the_overview_says_what_every_command_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_on = []
    monkeypatch.setattr(program, "run_lm_eval", handed_on.append)
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, (_, about) in COMMANDS.items():
        assert f"  {name:<15}{about}" in lines
    assert handed_on == [["--help"]]
