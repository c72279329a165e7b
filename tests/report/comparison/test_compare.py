"""Old results against new ones, from files to exit code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from helpers.result_files import examples, with_task, write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.commands.main import main
from harness_circuits.records.fields import ResultFileError
from harness_circuits.records.results_file import read_results
from harness_circuits.report.comparison.compare import Comparison, compare
from harness_circuits.report.comparison.thresholds import read_thresholds


def compared(old: Path, new: Path, **how: Any) -> Comparison:
    return compare(read_results([old]).runs, read_results([new]).runs, **how)


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
@settings(max_examples=8, deadline=None)
def test_identical_results_never_regress(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, with_examples: bool
) -> None:
    folder = tmp_path_factory.mktemp("same")
    records = examples(seed, n)
    old = write_run(folder / "old", records, with_examples=with_examples)
    new = write_run(folder / "new", records, with_examples=with_examples)
    result = compared(old, new, min_pairs=1)
    assert {row.verdict for row in result.rows} == {"same"}
    assert {row.adjusted_p for row in result.rows} == {1.0}
    assert main(["compare", str(old), str(new), "--min-pairs", "1"]) == 0
    assert main(["compare", str(old), str(new)]) == (0 if n >= 12 else 2)


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
    assert main(["compare", str(old), str(new)]) == 1
    assert main(["compare", str(new), str(old)]) == 0


def test_noise_alone_rarely_fails(tmp_path: Path) -> None:
    """9 rows of each of 60 pairs of files: 5% of files are meant to have any finding."""
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


def test_changes_up_to_the_threshold_of_a_metric_do_not_count(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0))
    new = write_run(tmp_path / "new", examples(0, shift=-0.4))
    (change,) = (r.difference.estimate.value for r in compared(old, new).rows if r.metric == "cpr")
    assert change < 0
    file = tmp_path / "thresholds.yaml"
    for factor, verdict in ((0.9, "worse"), (1.1, "same")):
        file.write_text(f"cpr: {-change * factor}\npoints: 100\ndefault: 50\n")
        rows = {r.metric: r for r in compared(old, new, thresholds=read_thresholds(file)).rows}
        assert rows["cpr"].verdict == verdict
        assert {row.verdict for name, row in rows.items() if name != "cpr"} == {"same"}
        arguments = ["compare", str(old), str(new), "--thresholds", str(file)]
        assert main(arguments) == (1 if verdict == "worse" else 0)


def test_other_pairs_are_not_paired(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0), pairs="abc")
    new = write_run(tmp_path / "new", examples(0), pairs="def")
    result = compared(old, new)
    assert not any(row.paired for row in result.rows)
    why = "because the runs were evaluated on different pairs"
    assert f"compared as two samples of pairs, and not pair by pair, {why}" in result.notes[0]
    assert all(row.difference.p == 1 for row in result.rows)  # the same values, by chance
    worse = write_run(tmp_path / "worse", examples(0, 30, shift=-3), pairs="ghi")
    rows = {row.metric: row for row in compared(old, worse).rows}
    assert rows["cpr"].verdict == "worse" and not rows["cpr"].paired
    bare = write_run(tmp_path / "bare", examples(0), pairs="xyz", with_examples=False)
    (note,) = compared(old, bare).notes
    assert "compared by the published intervals" in note
    assert note.endswith("and the runs were evaluated on different pairs")


def test_junit_has_a_test_per_row(tmp_path: Path) -> None:
    old = write_run(tmp_path / "old", examples(0))
    write_run(tmp_path / "old" / "lost", with_task(examples(0), "a\x01b <c>"))
    new = write_run(tmp_path / "new", examples(1, shift=-0.8))
    out = tmp_path / "comparison.xml"
    arguments = [
        "compare",
        str(tmp_path / "old"),
        str(new),
        "--format",
        "junit",
        "--output",
        str(out),
    ]
    assert old.exists() and main(arguments) == 1
    (suite,) = ElementTree.parse(out).getroot()
    assert {name: suite.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "10",
        "failures": "9",
        "errors": "1",
    }
    cases = suite.findall("testcase")
    assert len(cases) == 10 and len(suite.findall("testcase/failure")) == 9
    assert cases[0].get("classname") == "tiny.ioi_circuit"
    assert cases[0].get("name") == "EAP-IG-inputs (ig_rule=left, ig_steps=5): cmd"
    assert "a?b <c> on tiny" in str(cases[-1].get("name"))


def test_skipped_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = write_run(tmp_path / "old", examples(0))
    (tmp_path / "old" / "broken.json").write_text("{")
    assert main(["compare", str(tmp_path / "old"), str(old)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"skipped {tmp_path / 'old' / 'broken.json'}: not readable as JSON")
    assert lines[1] == "1 files skipped, 1 used"
    (tmp_path / "old" / "broken.json").write_text('{"results": {}, "config": {}}')
    assert main(["compare", str(tmp_path / "old"), str(old)]) == 0
    assert "but not of --model circuit" in capsys.readouterr().err
    (tmp_path / "old" / "broken.json").write_text("{")
    assert main(["compare", str(tmp_path / "old" / "broken.json"), str(old)]) == 2
    assert "No results of --model circuit in" in capsys.readouterr().err


def test_results_without_any_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match="There is no file or folder"):
        read_results([tmp_path / "none"])
