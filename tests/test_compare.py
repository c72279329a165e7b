"""Old results against new ones, from files to exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_files import examples, with_task, write_run

from harness_circuits.cli import main
from harness_circuits.errors import OptionError
from harness_circuits.json_fields import ResultFileError
from harness_circuits.records import read_results
from harness_circuits.report.compare import Comparison, compare


def compared(old: Path, new: Path, tolerance: float = 0.0) -> Comparison:
    return compare(read_results([old]).runs, read_results([new]).runs, tolerance)


def test_every_area_and_point_is_a_row(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0))
    result = compared(old, write_run(tmp_path / "new", examples(1)))
    points = [f"{kind} at {size}" for kind in ("|1-f|", "f") for size in ("0.01", "0.1", "0.5")]
    assert [row.metric for row in result.rows] == [
        *("cmd", "cmd_log", *points[:3]),
        *("cpr", *points[3:]),
    ]
    assert all(row.paired for row in result.rows)
    assert result.notes == ()


@given(seed=st.integers(0, 100), n=st.integers(2, 30), with_examples=st.booleans())
@settings(max_examples=8)
def test_identical_results_never_regress(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, with_examples: bool
) -> None:
    folder = tmp_path_factory.mktemp("same")
    records = examples(seed, n)
    old = write_run(folder / "old", records, with_examples=with_examples)
    new = write_run(folder / "new", records, with_examples=with_examples)
    result = compared(old, new)
    assert {row.verdict for row in result.rows} == {"same"}
    assert {row.adjusted_p for row in result.rows} == {1.0}
    assert main(["compare", str(old), str(new), "--fail-on", "regression"]) == 0


@given(seed=st.integers(0, 100))
@settings(max_examples=8)
def test_a_real_shift_is_found_and_has_a_direction(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("shift")
    old = write_run(folder / "old", examples(seed))
    new = write_run(folder / "new", examples(seed + 1, shift=-0.8))
    assert {row.verdict for row in compared(old, new).rows} == {"worse"}
    assert {row.verdict for row in compared(new, old).rows} == {"better"}
    assert main(["compare", str(old), str(new), "--fail-on", "regression"]) == 1
    assert main(["compare", str(new), str(old), "--fail-on", "regression"]) == 0
    assert main(["compare", str(old), str(new)]) == 0


def test_noise_alone_rarely_fails(tmp_path: Path) -> None:
    """9 rows of each of 60 pairs of files: Holm bounds the share with any finding by about 5%."""
    failures = 0
    for seed in range(60):
        old = write_run(tmp_path / "old", examples(2 * seed, data_seed=seed))
        new = write_run(tmp_path / "new", examples(2 * seed + 1, data_seed=seed))
        failures += any(row.verdict != "same" for row in compared(old, new).rows)
    assert failures <= 7  # 1% likely to be more at a rate of 5%


def test_pairing_finds_what_published_intervals_cannot(tmp_path: Path) -> None:
    """Easy and hard examples differ much more than the runs do; the same examples cancel that."""
    runs = [examples(3, noise=0.05), examples(4, noise=0.05, shift=-0.05)]
    paths = [write_run(tmp_path / name, records) for name, records in zip("ab", runs, strict=True)]
    assert {row.verdict for row in compared(*paths).rows if row.metric == "cpr"} == {"worse"}
    for path in paths:
        shutil.rmtree(path.parent / "artifacts")
    result = compared(*paths)
    assert {row.verdict for row in result.rows} == {"same"}
    assert not any(row.paired for row in result.rows)
    assert "compared by the published intervals" in result.notes[0]


def test_tolerance(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0))
    new = write_run(tmp_path / "new", examples(0, shift=-0.4))
    (change,) = (r.difference.estimate.value for r in compared(old, new).rows if r.metric == "cpr")
    assert change < 0
    for tolerance, verdict in ((-change * 0.9, "worse"), (-change * 1.1, "same")):
        rows = compared(old, new, tolerance).rows
        assert [row.verdict for row in rows if row.metric == "cpr"] == [verdict]
    with pytest.raises(OptionError, match="--tolerance is at least 0, got -1"):
        compared(old, new, -1)


def test_other_pairs_are_not_paired(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0), pairs="abc")
    new = write_run(tmp_path / "new", examples(0), pairs="def")
    result = compared(old, new)
    assert not any(row.paired for row in result.rows)
    assert "because the runs were evaluated on different pairs" in result.notes[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "not readable: No such file"),
        ("{", "is malformed"),
        ('{"index": 0}\n', "is malformed"),
        ("", "is malformed: ValueError('0 rows of 0 values, not 40 of 4"),
    ],
)
def test_damaged_examples_are_named(tmp_path: Path, text: str | None, reason: str) -> None:
    old = write_run(tmp_path / "old", examples(0))
    new = write_run(tmp_path / "new", examples(1))
    file = tmp_path / "new" / "artifacts" / "ioi_circuit" / "examples.jsonl"
    file.unlink()
    if text is not None:
        file.write_text(text)
    assert reason in compared(old, new).notes[0]


def test_overwritten_examples_are_not_used(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0))
    new = write_run(tmp_path / "new", examples(1))
    write_run(tmp_path / "other", examples(2))
    shutil.copytree(
        tmp_path / "other" / "artifacts", tmp_path / "new" / "artifacts", dirs_exist_ok=True
    )
    assert "holds the values of another run" in compared(old, new).notes[0]


def test_moved_artifacts_are_found(tmp_path: Path) -> None:
    write_run(tmp_path / "old", examples(0))
    moved = Path(shutil.move(tmp_path / "old", tmp_path / "elsewhere"))
    new = write_run(tmp_path / "new", examples(1))
    assert all(row.paired for row in compared(moved, new).rows)


def test_runs_are_matched_by_settings_then_alone(tmp_path: Path) -> None:
    for side, methods in (("old", ("EAP", "EAP-IG-inputs")), ("new", ("EAP", "EAP-IG-inputs"))):
        for method in methods:
            write_run(tmp_path / side / method, examples(0), method=method)
    both = compared(tmp_path / "old", tmp_path / "new")
    assert (len(both.rows), both.missing, both.added) == (18, (), ())
    one = compared(tmp_path / "old" / "EAP", tmp_path / "new" / "EAP-IG-inputs")
    assert len(one.rows) == 9
    assert "the runs differ in method ('EAP' -> 'EAP-IG-inputs')" in one.notes[0]


def test_a_lost_run_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = examples(0)
    write_run(tmp_path / "old" / "a", records)
    write_run(tmp_path / "old" / "b", with_task(records, "greater_than"))
    new = write_run(tmp_path / "new", records)
    assert main(["compare", str(tmp_path / "old"), str(new), "--fail-on", "regression"]) == 1
    assert "only among the old results: greater_than on tiny" in capsys.readouterr().out


def test_nothing_to_compare_is_an_error(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0))
    new = write_run(tmp_path / "new", with_task(examples(0), "greater_than"))
    with pytest.raises(OptionError, match="Nothing to compare: none of 1 old runs"):
        compared(old, new)


def test_repetitions_are_named_and_the_newest_counts(tmp_path: Path) -> None:
    write_run(tmp_path / "old" / "first", examples(1), date=1)
    write_run(tmp_path / "old" / "second", examples(2), date=2)
    new = write_run(tmp_path / "new", examples(2))
    result = compared(tmp_path / "old", new)
    assert {row.difference.estimate.value for row in result.rows} == {0.0}
    assert "was repeated by" in result.notes[0]


def test_files_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = write_run(tmp_path / "old", examples(0))
    new = write_run(tmp_path / "new", examples(1, shift=-0.8))
    summary, table = tmp_path / "summary.md", tmp_path / "table.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    arguments = ["compare", str(old), str(new), "--json", str(tmp_path / "rows.json"), "--output"]
    assert main([*arguments, str(summary)]) == main([*arguments, str(table)]) == 0
    assert summary.read_text() == "before\n" + table.read_text()
    assert table.read_text().startswith("### Circuit comparison: 9 worse, 0 better\n\n| model |")
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert len(rows) == 9
    assert all(np.isfinite(row["difference"]["p"]) for row in rows)


def test_skipped_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write_run(tmp_path / "old", examples(0))
    (tmp_path / "old" / "broken.json").write_text("{")
    assert main(["compare", str(tmp_path / "old"), str(old)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"skipped {tmp_path / 'old' / 'broken.json'}: not readable as JSON")
    assert lines[1] == "1 files skipped, 1 used"
    with pytest.raises(SystemExit, match="No results of --model circuit in"):
        main(["compare", str(tmp_path / "old" / "broken.json"), str(old)])


def test_hostile_names_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a|b <script>[x](y)\n# z"
    records = with_task(examples(0), name)
    old = write_run(tmp_path / "old", records, with_examples=False)
    main(["compare", str(old), str(old)])
    assert r"| a\|b \<script\>\[x\](y) \# z |" in capsys.readouterr().out


def test_results_without_any_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="There is no file or folder"):
        read_results([tmp_path / "none"])
