"""What Inspect finds of the package, and from its command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.environments import ROOT
from helpers.inspect_runs import circuit_model
from helpers.tiny_tasks import TASK, write_task
from helpers.tiny_tokenizer import save_tiny_model
from inspect_ai.log import list_eval_logs, read_eval_log

from harness_circuits.inspect.task_names import circuit_task_names

ORDINARY = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate


@task
def ordinary():
    samples = [Sample(input="The war lasted from year", target="red"), Sample(input="red", target="red")]
    return Task(dataset=samples, solver=generate(max_tokens=4), scorer=includes())
"""


def test_every_circuit_task_of_the_package_is_a_task() -> None:
    names = circuit_task_names()
    groups = ("circuit_suite.yaml", "mib/mib_circuit.yaml")
    for group in groups:
        assert set(yaml.safe_load((ROOT / "tasks" / group).read_text())["task"]) <= set(names)
    assert {"custom_circuit", "ground_truth_circuit"} <= set(names)
    assert len(set(names)) == len(names)
    assert all(name.endswith("_circuit") for name in names)


def test_what_inspect_loads_at_its_start_is_light() -> None:
    heavy = "{'torch', 'transformers', 'transformer_lens', 'datasets', 'lm_eval'}"
    module = "harness_circuits.inspect.registry"
    code = f"import sys, {module}; sys.exit(str(sorted({heavy} & set(sys.modules)) or ''))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_names_are_those_of_the_package() -> None:
    from inspect_ai._util.registry import registry_info

    from harness_circuits.inspect import registry

    assert registry_info(registry.TASKS["ioi"]).name == "harness_circuits/ioi"
    assert registry_info(registry.circuit).name.endswith("circuit")


def test_one_command_runs_a_circuit_task_and_an_ordinary_one_on_a_circuit(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model", "llama")
    task = write_task(tmp_path) / f"{TASK}.yaml"
    (tmp_path / "ordinary.py").write_text(ORDINARY)
    tasks = ["harness_circuits/from_yaml", "ordinary.py"]
    options = {"-M": [f"circuit=discover:{task}", "size=0.5", "ablation=mean"]}
    options["-T"] = [f"task={task}", "sizes=0.1,1"]
    done = inspect_cli(tmp_path, "eval", *tasks, "--model", circuit_model(model), **options)
    assert done.returncode == 0, done.stdout + done.stderr
    logs = [read_eval_log(info) for info in list_eval_logs(str(tmp_path / "logs"))]
    by_task = {log.eval.task: log for log in logs}
    circuits = by_task["harness_circuits/from_yaml"]
    assert circuits.results.scores[0].metrics["faithfulness@1"].value == pytest.approx(1, abs=1e-5)
    assert circuits.eval.metadata["harness_circuits"]["config"]["circuit"]["given"]
    (ordinary,) = (log for name, log in by_task.items() if name.endswith("ordinary"))
    assert ordinary.status == "success"
    assert ordinary.samples[0].output.metadata["circuit"]["size"] == 0.5


def inspect_cli(
    folder: Path, *command: str, **options: list[str]
) -> subprocess.CompletedProcess[str]:
    """Run Inspect's command line in a folder."""
    words = [word for flag, values in options.items() for value in values for word in (flag, value)]
    run = "from inspect_ai._cli.main import main; main()"
    log_dir = ["--log-dir", str(folder / "logs"), "--display", "plain"]
    return subprocess.run(
        [sys.executable, "-c", run, *command, *words, *log_dir],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
