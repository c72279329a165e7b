"""A sweep in this process: results, resuming, failures, dry run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.sweep_files import result_files, write_sweep
from helpers.tiny_tasks import TASK, evaluate, values
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.commands.sweep import sweep_command
from harness_circuits.errors import OptionError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.records.examples import read_examples
from harness_circuits.records.results_file import read_results
from harness_circuits.sweep import runner

Sweep = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Without the description of the environment, which takes more than a second per cell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        yield


@pytest.fixture
def sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Run a sweep of a tiny model in this process: exit code and output."""

    def run(*arguments: str, **changes: Any) -> tuple[int, str]:
        path = write_sweep(tmp_path, **changes)
        code = sweep_command([str(path), "--processes", "0", *arguments])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def test_cells_are_ordinary_results_that_the_reports_read(sweep: Sweep, tmp_path: Path) -> None:
    code, output = sweep()
    assert code == 0
    assert "2 cells done, 0 present, 0 failed" in output
    assert "[2/2] done: tiny · tiny_ioi · random" in output
    (row,) = (line for line in output.splitlines() if line.startswith("EAP "))
    assert row.count("±") >= 4
    files = result_files(tmp_path)
    assert [file.parent.relative_to(tmp_path) for file in files] == [
        Path(f"results/tiny/{TASK}")
    ] * 2
    reading = read_results([tmp_path / "results"])
    assert reading.skipped == ()
    assert sorted(str(run.settings["method"]) for run in reading.runs) == ["EAP", "random"]
    for run in reading.runs:
        assert len(read_examples(run).curves["absolute"].full) == run.n_evaluation == 5
    data = json.loads(files[0].read_text())
    assert data["config"]["model"] == "circuit"
    assert data["config"]["sweep"]["identity"].startswith(files[0].stem.rsplit("_", 1)[1])


def test_a_cell_has_the_numbers_of_a_run_without_a_sweep(sweep: Sweep, tmp_path: Path) -> None:
    sweep(methods=["random", "EAP"])
    lm = CircuitLM(
        pretrained=str(tmp_path / "tiny"), method="EAP", sizes=[0.1, 0.5, 1], bootstrap_iters=20
    )
    alone = values(evaluate(lm, [TASK], tmp_path))
    (file,) = (file for file in result_files(tmp_path) if file.name.startswith("EAP"))
    assert values(json.loads(file.read_text())) == pytest.approx(alone, abs=1e-9)


def test_a_finished_sweep_loads_nothing(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep()
    before = {file: file.stat().st_mtime_ns for file in result_files(tmp_path)}
    monkeypatch.setattr(runner.Runner, "run", None)
    code, output = sweep()
    assert (code, "0 cells to run, 2 present" in output) == (0, True)
    assert {file: file.stat().st_mtime_ns for file in result_files(tmp_path)} == before


def test_each_model_is_loaded_once(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    original = CircuitLM.__init__

    def counted(self: CircuitLM, **arguments: Any) -> None:
        loaded.append(Path(arguments["pretrained"]).name)
        original(self, **arguments)

    monkeypatch.setattr(CircuitLM, "__init__", counted)
    save_tiny_model(tmp_path / "other", "gpt2")
    models = [str(tmp_path / "tiny"), str(tmp_path / "other")]
    code, _ = sweep(models=models, levels=["edge", "node"], methods="EAP")
    assert code == 0
    assert loaded == ["tiny", "other"]
    assert len(result_files(tmp_path)) == 4


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"config": {"sweep": {"identity": "x"}}}'])
def test_a_corrupt_result_is_made_again(sweep: Sweep, tmp_path: Path, content: str) -> None:
    sweep(methods="EAP")
    (file,) = result_files(tmp_path)
    whole = json.loads(file.read_text())["results"]
    file.write_text(content)
    code, output = sweep(methods="EAP")
    assert (code, "1 cells done, 0 present" in output) == (0, True)
    assert json.loads(file.read_text())["results"] == whole


@pytest.mark.parametrize(
    ("kind", "left"), [("examples", {"examples.jsonl", "SHA256SUMS"}), ("none", set())]
)
def test_artifacts_can_be_left_out(sweep: Sweep, tmp_path: Path, kind: str, left: set[str]) -> None:
    assert sweep(methods="EAP", artifacts=kind)[0] == 0
    (file,) = result_files(tmp_path)
    assert {path.name for path in file.with_suffix("").rglob("*") if path.is_file()} == left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--executor", "ray", "--processes", "0"], "--processes cannot be 0"),
        (["--ray-address", "auto"], "--ray-address needs --executor ray"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        sweep_command(["sweep.yaml", *arguments])
