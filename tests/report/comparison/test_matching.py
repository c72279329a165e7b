"""Which run of the baseline a run is compared with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.result_files import examples, with_task, write_run

from harness_circuits.commands.main import main
from harness_circuits.records.results_file import read_results
from harness_circuits.report.comparison.compare import Comparison, compare


def compared(old: Path, new: Path, **how: Any) -> Comparison:
    return compare(read_results([old]).runs, read_results([new]).runs, **how)


def test_runs_are_matched_by_their_settings(tmp_path: Path) -> None:
    for side, methods in (("old", ("EAP", "EAP-IG-inputs")), ("new", ("EAP", "EAP-IG-inputs"))):
        for method in methods:
            write_run(tmp_path / side / method, examples(0), method=method)
    both = compared(tmp_path / "old", tmp_path / "new")
    assert (len(both.rows), both.not_compared, both.added) == (18, (), ())
    assert {row.method for row in both.rows} == {"EAP", "EAP-IG-inputs (ig_rule=left, ig_steps=5)"}


def test_other_settings_are_another_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = write_run(tmp_path / "old", examples(0), method="EAP")
    new = write_run(tmp_path / "new", examples(0, shift=-0.8), method="RelP")
    assert main(["compare", str(old), str(new)]) == 2
    named = "the runs differ in method ('EAP' -\\> 'RelP')"
    assert named in capsys.readouterr().out.partition("Not compared:")[2]
    assert main(["compare", str(old), str(new), "--across-settings"]) == 1
    assert named in capsys.readouterr().out.partition("Notes:")[2]


def test_a_repetition_with_another_seed_is_the_same_cell(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0))
    for name, pairs in (("resampled", "abc"), ("other pairs", "def")):
        new = write_run(tmp_path / name, examples(0), pairs=pairs)
        data = json.loads(new.read_text())
        data["config"]["circuit"]["settings"] |= {"seed": 5, "bootstrap_iters": 99}
        new.write_text(json.dumps(data))
        assert main(["compare", str(old), str(new)]) == 0
        assert compared(old, new).not_compared == ()


def test_a_lost_run_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = examples(0)
    write_run(tmp_path / "old" / "a", records)
    write_run(tmp_path / "old" / "b", with_task(records, "greater_than"))
    new = write_run(tmp_path / "new", records)
    assert main(["compare", str(tmp_path / "old"), str(new)]) == 2
    assert "only among the old results: greater_than on tiny" in capsys.readouterr().out
    worse = write_run(tmp_path / "worse", examples(0, shift=-0.8))
    assert main(["compare", str(tmp_path / "old"), str(worse)]) == 1
    other = write_run(tmp_path / "other", with_task(records, "docstring"))
    assert main(["compare", str(new), str(other)]) == 2
    assert main(["compare", str(new), str(tmp_path / "nowhere")]) == 2
    assert "There is no file or folder" in capsys.readouterr().err


def test_repetitions_are_named_and_the_newest_counts(tmp_path: Path) -> None:
    write_run(tmp_path / "old" / "first", examples(1), date=1)
    write_run(tmp_path / "old" / "second", examples(2), date=2)
    new = write_run(tmp_path / "new", examples(2))
    result = compared(tmp_path / "old", new)
    assert {row.difference.estimate.value for row in result.rows} == {0.0}
    assert "was repeated by" in result.notes[0]
