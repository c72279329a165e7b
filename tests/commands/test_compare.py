"""Exit code 1 of `compare` means that a number got worse, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.environments import ROOT
from helpers.result_files import examples, write_run

from harness_circuits.commands.main import main


@pytest.fixture
def worse(tmp_path: Path) -> list[str]:
    """Old results and new ones that are clearly worse."""
    old = write_run(tmp_path / "old", examples(0))
    return [str(old), str(write_run(tmp_path / "new", examples(0, shift=-1)))]


def test_worse_is_one(worse: list[str]) -> None:
    assert main(["compare", *worse]) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("default: 100", 0),
        ("cmd: 0.01\ncmd: 100", 2),
        ("default: 0\ndefault: 100", 2),
        ("cpr: 2024-13-45", 2),
        ("[" * 5000, 2),
        ("default: " + "9" * 400, 2),
        ("default: 1e999", 2),
        ("default: 0o7", 2),
    ],
)
def test_thresholds(worse: list[str], tmp_path: Path, text: str, code: int) -> None:
    file = tmp_path / "thresholds.yaml"
    file.write_text(text)
    assert main(["compare", *worse, "--thresholds", str(file)]) == code


def test_a_report_that_cannot_be_written(
    worse: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["compare", *worse, "--output", str(tmp_path / "file" / "report.md")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_full_device(worse: list[str]) -> None:
    code = (
        "import sys; from harness_circuits.commands.main import main; sys.exit(main(sys.argv[1:]))"
    )
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", code, "compare", *worse]
        result = subprocess.run(
            command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 2
    assert "No space left" in result.stderr


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.update(date="yesterday"),
        lambda data: data.update(date=10**400),
        lambda data: data["results"]["ioi_circuit"].update({"cmd,none": 10**400}),
    ],
)
def test_numbers_that_are_none(worse: list[str], change: object) -> None:
    file = Path(worse[1])
    data = json.loads(file.read_text())
    change(data)  # type: ignore[operator]
    file.write_text(json.dumps(data))
    assert main(["compare", *worse]) == 2


def test_results_that_are_nested_without_end(worse: list[str]) -> None:
    Path(worse[1]).write_text('{"config": ' + "[" * 100_000)
    assert main(["compare", *worse]) == 2


def test_a_repeated_key_in_results(worse: list[str]) -> None:
    text = Path(worse[1]).read_text()
    Path(worse[1]).write_text(text.replace('"cmd,none":', '"cmd,none": 0.0, "cmd,none":', 1))
    assert main(["compare", *worse]) == 2
