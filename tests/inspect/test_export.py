"""`harness-circuits export-inspect`: results of lm-eval as logs that say the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.inspect_runs import inspect_ai
from helpers.result_files import examples, write_run
from inspect_ai.log import read_eval_log

from harness_circuits.commands.main import main
from harness_circuits.inspect.scoring import circuit_values
from harness_circuits.records.examples import read_examples
from harness_circuits.records.results_file import read_results, read_results_file


def exported(folder: Path, results: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    """The one log that some results become, and what was printed."""
    assert main(["export-inspect", str(results), "--output", str(folder)]) == 0
    (path,) = folder.glob("*.eval")
    return path, capsys.readouterr().out


def test_a_log_says_what_the_results_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_run(tmp_path / "run", examples(n=12))
    path, said = exported(tmp_path / "logs", file, capsys)
    assert said == f"{path} (no prompts: lm_eval saves them with --log_samples)\n"
    (before,), (after,) = read_results_file(file), read_results_file(path)
    assert after == replace(before, file=path, in_log=True)
    assert set(read_examples(after).curves) == set(read_examples(before).curves)
    log = read_eval_log(str(path))
    assert log.eval.task == "harness_circuits/ioi"
    assert [sample.input for sample in log.samples][:2] == ["pair 0", "pair 1"]
    again = inspect_ai.score(
        log, circuit_values(), action="overwrite", display="none", model="mockllm/x"
    )
    expected = log.results.scores[0].metrics
    found = again.results.scores[0].metrics
    # The helper's intervals have other resamples than its settings say; no artifact has `acc`.
    for name in (name for name in expected if "ci95" not in name and name != "acc"):
        assert found[name].value == pytest.approx(expected[name].value, abs=1e-12), name


def test_prompts_are_those_that_lm_eval_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_run(tmp_path / "run", examples(n=3))
    date = file.stem.removeprefix("results_")
    rows = []
    for number in (2, 5, 9):  # of --samples
        doc = {"clean": f"clean {number}", "corrupted": "x", "choices": [" a", " b"]}
        rows.append({"doc_id": number, "doc": {**doc, "correct": [1], "incorrect": [0]}, "acc": 1})
    lines = "".join(json.dumps(row) + "\n" for row in reversed(rows))
    (file.parent / f"samples_ioi_circuit_{date}.jsonl").write_text(lines)
    path, said = exported(tmp_path / "logs", file, capsys)
    assert said == f"{path}\n"
    samples = read_eval_log(str(path)).samples
    assert [(s.id, s.input, s.target) for s in samples] == [
        (3, "clean 2", [" b"]),
        (6, "clean 5", [" b"]),
        (10, "clean 9", [" b"]),
    ]
    assert samples[0].metadata == {"corrupted": "x", "correct": [1], "incorrect": [0]}


def test_results_without_artifacts_have_no_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_run(tmp_path / "run", examples(n=12), with_examples=False)
    path, said = exported(tmp_path / "logs", file, capsys)
    assert "no samples: the run saved no artifacts" in said
    assert not read_eval_log(str(path)).samples
    assert len(read_results([path]).runs) == 1


def test_a_log_is_not_exported_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = exported(tmp_path / "logs", write_run(tmp_path / "run", examples(n=12)), capsys)
    assert main(["export-inspect", str(path), "--output", str(tmp_path / "more")]) == 0
    assert "is a log already" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()
