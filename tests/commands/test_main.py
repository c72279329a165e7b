"""The `harness-circuits` command as a process: pipes that close, and mistakes in its arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.environments import ROOT
from helpers.result_files import examples, write_run

from harness_circuits.commands.main import main

START = "import sys; from harness_circuits.commands.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path, unbuffered: str) -> None:
    """`harness-circuits leaderboard ... | head -0`: all files are written all the same."""
    write_run(tmp_path, examples())
    board = tmp_path / "board"
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-c", START, "leaderboard", str(tmp_path), "--output", str(board)],
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        text=True,
        check=False,
    )
    os.close(writer)
    assert process.returncode == 141
    assert process.stderr == ""
    assert sorted(path.suffix for path in board.iterdir()) == [".csv", ".html", ".md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["draw", "x.json", "--keep", "\u0663"], "argument --keep: it is a whole number from 1 to"),
        (["draw", "x.json", "--keep", "0x10"], "argument --keep: it is a whole number from 1 to"),
        (["draw", "~nosuchuser/x.json"], "argument file: it is a name or a path, got '~nosuchuser"),
        (["compare", "a", "b\0c"], "argument current: it is a path, got 'b\\x00c': it holds a NUL"),
        (["compare", "a"], "the following arguments are required: current"),
        (["sweep", "x.yaml", "--cpus-per-cell", "inf"], "argument --cpus-per-cell: it is a number"),
        (["leaderboard", "x" * 300], "a name has at most 255 bytes"),
        (["check-task", "ioi_circuit", "--dtype", "int8"], "it is one of auto, float32"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"harness-circuits {arguments[0]}: error: ")
    assert message in line
    assert len(line) < 450
