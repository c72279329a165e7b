"""Files of thresholds that are refused; what thresholds do is in test_compare.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.result_files import examples, write_run

from harness_circuits.commands.main import main


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpr: -1", "cpr is a number from 0, got -1"),
        ("cpr: .nan", "cpr is a number from 0, got '.nan'"),
        ("cpr: true", "cpr is a number from 0, got True"),
        ("cprr: 1", "Unknown metric 'cprr'. Did you mean 'cpr'?"),
        ("- cpr", "holds no lines such as `cpr: 0.05`"),
        ("cpr: [", "is not YAML that can be used"),
        (None, "cannot be read"),
    ],
)
def test_bad_thresholds_are_refused(
    tmp_path: Path, text: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    old, file = write_run(tmp_path / "old", examples(0)), tmp_path / "thresholds.yaml"
    if text is not None:
        file.write_text(text)
    assert main(["compare", str(old), str(old), "--thresholds", str(file)]) == 2
    assert message in capsys.readouterr().err
