"""Logs of Inspect read beside results of lm-eval, without Inspect, whatever is in them."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.inspect_logs import log_json, write_archive, zip_of
from helpers.result_files import examples, result_json, write_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness_circuits.commands.main import main
from harness_circuits.records import eval_archive
from harness_circuits.records.examples import NoExamplesError, read_examples
from harness_circuits.records.fields import ResultFileError
from harness_circuits.records.pair_scores import pair_score, record_of
from harness_circuits.records.results_file import (
    ForeignFileError,
    read_results,
    read_results_file,
)

RECORDS = examples(n=12)


def write(path: Path, log: dict[str, Any]) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(log))
        return path
    return write_archive(path, log, packed="deflated" not in path.name)


@pytest.mark.parametrize("name", ["log.eval", "deflated.eval", "log.json"])
def test_a_log_is_read_as_the_results_of_the_same_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "results.json").write_text(json.dumps(result_json(RECORDS)))
    (expected,) = read_results_file(tmp_path / "results.json")
    (found,) = read_results_file(write(tmp_path / name, log_json(RECORDS)))
    assert found.in_log
    acc = {"acc": 1.0}  # the helper's whole models differ in it alone
    expected = replace(expected, file=found.file, date=found.date, in_log=True)
    expected = replace(expected, whole_model={**expected.whole_model, **acc})
    assert found == expected
    values = read_examples(found)
    for ranking, curve in values.curves.items():
        wanted = np.array([record.circuits[ranking] for record in RECORDS]).T
        assert np.array_equal(curve.circuits, wanted)


def test_a_pairs_score_is_its_record() -> None:
    for record in RECORDS:
        score = pair_score(record, {})
        details = json.loads(json.dumps(score.details))
        assert record_of(score.values, details) == record


def test_logs_and_results_stand_in_one_leaderboard_and_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write_run(old, examples(1, 30, noise=0.1), method="EAP")
    write_archive(new / "log.eval", log_json(examples(1, 30, noise=0.1, shift=-1), method="EAP"))
    assert main(["compare", str(old), str(new)]) == 1
    assert "ioi_circuit" in capsys.readouterr().out
    write_archive(tmp_path / "all" / "b.eval", log_json(examples(2, 30), method="RelP"))
    write_run(tmp_path / "all" / "a", examples(1, 30), method="EAP")
    main(["leaderboard", str(tmp_path / "all"), "--output", str(tmp_path)])
    table = (tmp_path / "leaderboard.md").read_text()
    assert "| EAP |" in table and "| RelP |" in table


def changed(**paths: Any) -> dict[str, Any]:
    log = copy.deepcopy(log_json(RECORDS))
    for path, value in paths.items():
        *parents, last = path.split("__")
        place: Any = log
        for name in parents:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value
    return log


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (changed(status="error"), "the run ended with status 'error'"),
        (changed(invalidated=True), "the run was invalidated"),
        (changed(results__scores__0__scored_samples=3), "the log scores 3 of 12 pairs"),
        (changed(results__scores=[]), "no score has the metrics of circuits"),
        (changed(results__scores=None), "no score has the metrics of circuits"),
        (changed(eval__created="yesterday"), "'created' is no date"),
        (changed(eval__metadata__harness_circuits=[]), "has no 'config'"),
        (
            changed(results__scores__0__metrics__cmd={"value": 9.0}),
            "'cmd,none' is 9, outside its own interval",
        ),
        (
            changed(results__scores__0__metrics__cmd={"value": "much"}),
            "'value' is not a finite number but 'much'",
        ),
    ],
)
def test_what_is_wrong_with_a_log_is_said(
    tmp_path: Path, log: dict[str, Any], message: str
) -> None:
    with pytest.raises(ResultFileError, match=message):
        read_results_file(write(tmp_path / "log.eval", log))


@pytest.mark.parametrize("metadata", [None, {}, {"other": 1}])
def test_logs_of_other_tasks_are_foreign(tmp_path: Path, metadata: Any) -> None:
    path = write(tmp_path / "log.eval", changed(eval__metadata=metadata))
    with pytest.raises(ForeignFileError, match="but of no circuit task"):
        read_results_file(path)


def test_samples_that_are_not_those_of_the_curves_are_not_used(tmp_path: Path) -> None:
    other = log_json(examples(9, 12))["samples"]
    (run,) = read_results_file(write(tmp_path / "log.eval", changed(samples=other)))
    with pytest.raises(NoExamplesError, match="holds the values of another run"):
        read_examples(run)
    (run,) = read_results_file(write(tmp_path / "none.eval", changed(samples=[])))
    with pytest.raises(NoExamplesError, match="without its samples"):
        read_examples(run)


HEADER = json.dumps({k: v for k, v in log_json(RECORDS).items() if k != "samples"}).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04", "not readable as an archive"),
        (zip_of({}), "the log has no header"),
        (zip_of({"header.json": HEADER}, crc=1), "does not match its checksum"),
        (zip_of({"header.json": HEADER}, size=10), "damaged"),
        (zip_of({"header.json": HEADER}, size=len(HEADER) + 1), "damaged"),
        (zip_of({"header.json": HEADER}, size=2**31), "more than"),
        (zip_of({"header.json": b"[" * 100_000}), "not readable as JSON"),
        (zip_of({"header.json": b'{"a": 1, "a": 2}'}), "is there twice"),
        (zip_of({"header.json": b"\xff"}), "not readable as JSON"),
        (zip_of({"header.json": b"[]"}), "not a results file"),
    ],
)
def test_damaged_archives_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "log.eval"
    path.write_bytes(content)
    with pytest.raises(ResultFileError, match=message):
        read_results_file(path)


def test_a_member_that_unpacks_to_more_than_it_says_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval_archive, "MOST_BYTES", 1000)
    path = tmp_path / "log.eval"
    path.write_bytes(zip_of({"header.json": b" " * 10**7}, size=900))
    with pytest.raises(ResultFileError, match="damaged"):
        read_results_file(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(at=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.integers(0, 3))
def test_no_damage_is_anything_but_an_error_of_ours(
    tmp_path: Path, at: int, byte: int, cut: int
) -> None:
    content = bytearray(zip_of({"header.json": HEADER}))
    content[at % len(content)] = byte
    if cut == 0:
        del content[at % len(content) :]
    path = tmp_path / "log.eval"
    path.write_bytes(content)
    (reading,) = [read_results([path])]
    assert len(reading.runs) + len(reading.skipped) == 1
