"""A sweep in this process: results, resuming, failures, dry run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
import yaml
from helpers.sweep_files import result_files, sweep_data, write_sweep
from helpers.tiny_tasks import TASK, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.commands.sweep import sweep_command
from harness_circuits.errors import OptionError
from harness_circuits.experiment import Experiment
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.records.examples import read_examples
from harness_circuits.records.results_file import read_results
from harness_circuits.sweep import runner
from harness_circuits.sweep.config import SweepConfig
from harness_circuits.sweep.plan import make_plan
from harness_circuits.sweep.state import State

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


def failures(folder: Path) -> list[str]:
    return sorted(failure.error for failure in State(folder / "results").failures().values())


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


def test_tasks_learn_which_model_they_are_for(tmp_path: Path) -> None:
    models = ["ground-truth:induction", "ground-truth:inhibition"]
    data = {"models": models, "tasks": ["ground_truth_circuit"], "methods": ["random"]}
    (tmp_path / "sweep.yaml").write_text(
        yaml.safe_dump({**data, "limit": 4, "options": {"n_discovery": 4, "bootstrap_iters": 20}})
    )
    results = tmp_path / "results"
    sweep = [str(tmp_path / "sweep.yaml"), "--results", str(results), "--processes", "0"]
    assert sweep_command(sweep) == 0
    for file in result_files(tmp_path):
        values = json.loads(file.read_text())["results"]["ground_truth_circuit"]
        assert values["acc,none"] == 1


def test_cells_that_cannot_be_run_are_recorded_and_stop_nothing(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = lm_eval.tasks.TaskManager
    only_ours = lambda **how: scan(**{**how, "include_defaults": False})  # noqa: E731
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", only_ours)
    (tmp_path / "empty").mkdir()
    models = [str(tmp_path / "nothing"), str(tmp_path / "empty"), str(tmp_path / "tiny")]
    code, output = sweep(
        models=models,
        methods=["EAP", "EAPP"],
        tasks=[TASK, "no_task"],
        exclude=[{"model": models[:2], "method": "EAPP"}, {"method": "EAPP", "task": "no_task"}],
    )
    assert code == 1
    assert "1 cells done, 0 present, 6 failed" in output
    errors = failures(tmp_path)
    assert len(errors) == 6
    text = "\n".join(errors)
    assert "nothing does not exist" in text
    assert "empty" in text
    assert "Unknown task 'no_task'" in text
    assert "Unknown attribution method 'EAPP'. Did you mean 'EAP'?" in text
    assert len(result_files(tmp_path)) == 1


def test_a_cell_that_fails_is_recorded_retried_and_forgotten_after_success(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Experiment.run

    def fail(self: Experiment) -> Any:
        if self.setup.settings.method == "EAP":
            raise MemoryError("no room")
        return original(self)

    monkeypatch.setattr(Experiment, "run", fail)
    code, output = sweep()
    assert (code, "1 cells done, 0 present, 1 failed" in output) == (1, True)
    assert "MemoryError: no room" in output
    (failure,) = State(tmp_path / "results").failures().values()
    assert failure.error == "MemoryError: no room"
    assert "in fail" in failure.details
    assert failure.when > 0
    code, output = sweep("--skip-failed")
    assert (code, "skipped, failed before" in output) == (1, True)
    monkeypatch.undo()
    code, output = sweep()
    assert (code, "1 cells done, 1 present, 0 failed" in output) == (0, True)
    assert failures(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"config": {"sweep": {"identity": "x"}}}'])
def test_a_corrupt_result_is_made_again(sweep: Sweep, tmp_path: Path, content: str) -> None:
    sweep(methods="EAP")
    (file,) = result_files(tmp_path)
    whole = json.loads(file.read_text())["results"]
    file.write_text(content)
    code, output = sweep(methods="EAP")
    assert (code, "1 cells done, 0 present" in output) == (0, True)
    assert json.loads(file.read_text())["results"] == whole


def identities(folder: Path, **changes: Any) -> set[str]:
    plan = make_plan(SweepConfig.from_dict(sweep_data(folder, **changes)))
    assert plan.refused == ()
    return {job.identity for job in (*plan.jobs, *plan.present)}


def test_a_cell_is_its_configuration_version_weights_and_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = identities(tmp_path)
    assert identities(tmp_path, results="elsewhere", artifacts="none") == start
    assert (
        identities(tmp_path, models={"pretrained": str(tmp_path / "tiny"), "device": "cpu"})
        == start
    )
    found = [start]
    for changes in (
        {"limit": 2},
        {"seeds": [1]},
        {"options": {"bootstrap_iters": 21}},
        {"models": {"pretrained": str(tmp_path / "tiny"), "dtype": "float64"}},
    ):
        found.append(identities(tmp_path, **changes))
    save_tiny_model(tmp_path / "tiny", "llama", seed=1)
    found.append(identities(tmp_path))
    (tmp_path / "shorter").mkdir()
    task = write_task(tmp_path / "shorter", test=None, metric="prob_diff")
    lines = (task / f"{TASK}_train.jsonl").read_text().splitlines(keepends=True)
    (task / f"{TASK}_train.jsonl").write_text("".join(lines[1:]))
    found.append(identities(tmp_path, include_path=str(task)))
    with monkeypatch.context() as patch:
        patch.setattr("harness_circuits.sweep.identity.__version__", "99")
        found.append(identities(tmp_path))
    assert len(set.union(*found)) == 2 * len(found)


def test_dry_run_shows_the_grid_and_leaves_nothing(sweep: Sweep, tmp_path: Path) -> None:
    code, output = sweep("--dry-run", methods=["EAP", "exact"], ablations=["patching", "zer"])
    assert code == 0
    assert "~ " in output
    assert "2 cells to run, 0 present, 2 refused" in output
    assert output.count("Unknown ablation 'zer'") == 2
    assert not (tmp_path / "results").exists()


def test_dry_run_knows_what_is_there_and_how_long_it_took(sweep: Sweep) -> None:
    sweep(methods="EAP")
    _, output = sweep("--dry-run")
    assert "present  tiny · tiny_ioi · EAP" in output
    assert "1 cells to run, 1 present, 0 refused" in output
    assert "estimated from results of the same model" in output


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
