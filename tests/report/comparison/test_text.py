"""A comparison as text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.result_files import examples, with_task, write_run

from harness_circuits.commands.main import main


def test_files_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write_run(tmp_path / "old", examples(0))
    new = write_run(tmp_path / "new", examples(1, shift=-0.8))
    summary, table = tmp_path / "summary.md", tmp_path / "table.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    arguments = ["compare", str(old), str(new), "--output"]
    assert main([*arguments, str(summary)]) == main([*arguments, str(table)]) == 1
    assert summary.read_text() == "before\n" + table.read_text()
    start = "### Circuit comparison: 9 worse, 0 better\n\n| model | task | method | metric |"
    assert table.read_text().startswith(start)
    capsys.readouterr()
    assert main(["compare", str(old), str(new), "--format", "json"]) == 1
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == 9
    assert all(np.isfinite(row["difference"]["p"]) for row in rows)


def test_hostile_names_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a|b <script>[x](y)\n# z"
    records = with_task(examples(0), name)
    old = write_run(tmp_path / "old", records, with_examples=False)
    main(["compare", str(old), str(old)])
    assert r"| a\|b \<script\>\[x\](y) \# z |" in capsys.readouterr().out
