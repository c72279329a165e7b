"""Commands that write to a full or a read-only device: one line, exit code 1, nothing half written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.environments import ROOT
from helpers.result_files import examples, write_run
from helpers.small_devices import on_a_device

CODE = """
import json, os
folder, results, artifacts = sys.argv[1:]

mount("size=128k", folder)
fill(folder)
commands = {
    "leaderboard": ["leaderboard", results, "--output", f"{folder}/board"],
    "draw": ["draw", artifacts, "--output", f"{folder}/drawing.svg"],
    "export-mib": ["export-mib", f"{folder}/submission", f"ioi_gpt2={artifacts}"],
}
for state in ("full", "read-only"):
    for name, arguments in commands.items():
        code, output = run(*arguments)
        left = sorted(x for x in os.listdir(folder) if x != "filler")
        print(json.dumps([state, name, code, output, left]))
    mount("remount,ro", folder)
"""
EXPECTED = {
    "full": "No space left on device. Free some space",
    "read-only": "Read-only file system",
}


def test_a_full_and_a_read_only_device_are_one_line(tmp_path: Path) -> None:
    results = write_run(tmp_path / "run", examples())
    artifacts = tmp_path / "run" / "artifacts" / "ioi_circuit"
    printed = on_a_device(CODE, tmp_path / "device", str(results), str(artifacts))
    rows = [json.loads(line) for line in printed.splitlines()]
    assert len(rows) == 6
    for state, name, code, output, left in rows:
        assert code == 1, (state, name, output)
        assert EXPECTED[state] in output, (state, name)
        assert output.startswith("harness-circuits: error: "), output
        assert output.count("\n") == 1, output
        assert [x for x in left if x != "board"] == [], (state, name)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_to_a_full_device_is_one_line() -> None:
    code = (
        "import sys; from harness_circuits.commands.main import main; sys.exit(main(['version']))"
    )
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == (
        "harness-circuits: error: output cannot be written: No space left on device.\n"
    )
