"""Runs that are refused before a model is loaded: the model named here is not there."""

from __future__ import annotations

import ast
import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.environments import ROOT
from helpers.ordinary_tasks import write_ordinary_tasks
from helpers.task_builds import build
from helpers.tiny_tasks import write_task
from lm_eval.tasks import TaskManager

from harness_circuits.commands.main import main
from harness_circuits.errors import CircuitError, OptionError
from harness_circuits.harness.before_loading import circuit_tasks
from harness_circuits.harness.patches import register
from harness_circuits.task_data.base import TaskData

MISSING = "pretrained=/there/is/no/such/model"


def refused(tasks: list[str], arguments: str = "", include: Any = None, **how: Any) -> str:
    """The one line that refuses a run."""
    register()
    from lm_eval import simple_evaluate

    folder = str(include or ROOT / "tasks")
    metadata = how.get("metadata")
    manager = TaskManager(include_defaults=False, include_path=folder, metadata=metadata)
    model_args = f"{MISSING},{arguments}" if arguments else MISSING
    with pytest.raises(CircuitError) as caught:
        simple_evaluate(
            model="circuit", model_args=model_args, tasks=tasks, task_manager=manager, **how
        )
    return str(caught.value)


def test_a_run_with_nothing_wrong_gets_to_the_model() -> None:
    assert refused(["ioi_circuit"]).startswith("pretrained=/there/is/no/such/model")


def test_a_run_names_its_tasks() -> None:
    assert refused([]).startswith("--tasks names the tasks to run, such as ioi_circuit")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("ablation=zero", "method=EAP-IG-inputs is not defined for ablation=zero"),
        ("metric=accuracy", "method=EAP-IG-inputs needs a metric with gradients"),
        ("method=RelP,attribution_metric=kl", "method=RelP takes its gradients on the clean run"),
        ("method=eap-ig", "Unknown attribution method 'eap-ig'. Did you mean 'EAP-IG-inputs'?"),
        ("trust_remote_code=no", "trust_remote_code is true or false, got 'no'"),
        ("truncation=true", "truncation=True has no effect on ioi_circuit"),
        ("logits_cache=false", "logits_cache=False has no effect on ioi_circuit"),
        ("softmax_dtype=float64", "softmax_dtype='float64' has no effect on ioi_circuit"),
        ("bootstrap_iters=2147483648", "bootstrap_iters is a whole number from 0 to 1000000"),
        ("artifacts=True", "artifacts is a folder, got True"),
        ("batch_size=inf", "batch_size is a whole number from 1 to 1000000, auto"),
    ],
)
def test_arguments(arguments: str, message: str) -> None:
    assert refused(["ioi_circuit"], arguments).startswith(message)


@pytest.mark.parametrize("task", ["ioi_circuit", "circuit_suite"])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"num_fewshot": 3}, "--num_fewshot 3: "),
        ({"num_fewshot": 3, "apply_chat_template": True}, "--num_fewshot 3: "),
        ({"system_instruction": "Be brief."}, "--system_instruction 'Be brief.': "),
    ],
)
def test_options_of_the_harness_that_change_prompts(
    task: str, how: dict[str, Any], message: str
) -> None:
    text = refused([task], **how)
    assert text.startswith(f"{message}ioi_circuit has clean and corrupted prompts")


def test_phrasings_of_a_task_that_has_one() -> None:
    for task in ("greater_than_circuit", "circuit_suite"):
        text = refused([task], "evidence=rephrasing")
        assert text.startswith("evidence=rephrasing: all pairs of ")
        assert "_circuit are of one phrasing. Leave it out" in text
    assert refused(["greater_than_circuit"], "evidence=all").startswith(MISSING)
    assert refused(["ioi_circuit"], "evidence=rephrasing").startswith(MISSING)


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_leaves_something(limit: float) -> None:
    message = f"--limit is a number of documents, or a share of them, got {limit}."
    assert refused(["ioi_circuit"], limit=limit) == message


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ("no_file.json", "--samples maps tasks to numbers of documents, {"),
        ([1, 2], "--samples maps tasks to numbers of documents, {"),
        ({"ioi_circuit": []}, "--samples: ioi_circuit has a list of numbers, got []."),
        ({"ioi_circuit": "12"}, "--samples: ioi_circuit has a list of numbers, got '12'."),
        ({"ioi_circut": [1]}, "--samples: Unknown task of this run 'ioi_circut'. Did you mean "),
    ],
)
def test_samples_are_numbers_of_documents_of_tasks(samples: Any, message: str) -> None:
    assert refused(["ioi_circuit"], samples=samples).startswith(message)


def test_a_file_of_pairs_has_both_splits(tmp_path: Path) -> None:
    pair = {"clean": "a b", "corrupted": "a c", "correct": " d", "incorrect": " e"}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({**pair, "split": "train"}))
    message = f"{path} has 1 pair (1 train) and none for test: circuits are found on train"
    assert refused(["custom_circuit"], metadata={"pairs": str(path)}).startswith(message)
    both = {"pairs": str(path), "same_pairs": True}
    assert refused(["custom_circuit"], metadata=both).startswith(MISSING)


def test_lm_evals_cache_of_responses() -> None:
    assert refused(["ioi_circuit"], use_cache="here").startswith("--use_cache cannot be used with")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "",
            "--model circuit runs tasks without clean/corrupted pairs on a circuit: give circuit=",
        ),
        ("circuit=ioi-gpt2-small", "ablation=patching cannot be used for tasks without pairs"),
        ("circuit=ioi-gpt2-small,ablation=zero", MISSING),
    ],
)
def test_tasks_without_pairs_have_a_circuit(tmp_path: Path, arguments: str, message: str) -> None:
    docs = [{"text": "The cat", "choices": [" red", " blue"], "label": 0}]
    write_ordinary_tasks(tmp_path, docs)
    assert refused(["choice"], arguments, tmp_path).startswith(message)


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_a_chat_template_goes_around_both_prompts(system: str | None) -> None:
    how = {"apply_chat_template": True, "system_instruction": system}
    assert refused(["ioi_circuit"], **how).startswith(MISSING)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"corruption": "noise"}, "Unknown corruption of task ioi_circuit 'noise'. Known: third-"),
        ({"corruption": ["s2-io-flip"]}, "Unknown corruption of task ioi_circuit ['s2-io-flip']."),
        (
            {"corrupton": "s2-io-flip"},
            "--metadata: Unknown option of ioi_circuit 'corrupton'. Did ",
        ),
        ({"n_train": "9"}, "n_train is a whole number from 0 to 1000000, got '9'."),
        ({"n_test": 2**31}, "n_test is a whole number from 0 to 1000000, got 2147483648."),
    ],
)
def test_options_of_tasks(metadata: dict[str, Any], message: str) -> None:
    assert refused(["ioi_circuit"], metadata=metadata).startswith(message)


def test_a_task_refuses_few_shot_examples_under_any_model() -> None:
    task = build("ioi_circuit", n_train=2, n_test=2, n_validation=0)
    task.set_config("num_fewshot", 0)
    with pytest.raises(OptionError, match=r"^num_fewshot=5: ioi_circuit has clean and corrupted"):
        task.set_config("num_fewshot", 5)


def test_tasks_with_pairs_are_found_in_groups_files_and_folders(tmp_path: Path) -> None:
    write_task(tmp_path)
    folders = [str(ROOT / "tasks"), str(tmp_path)]
    manager = TaskManager(include_defaults=False, include_path=folders)
    (file,) = tmp_path.glob("*.yaml")
    (own,) = (name for name, _ in circuit_tasks([str(file)], manager))
    assert [name for name, _ in circuit_tasks([own], manager)] == [own]
    assert len(list(circuit_tasks(["circuit_suite"], manager))) == 15


def test_every_name_that_data_read_of_the_metadata_is_known() -> None:
    """`metadata.get("x")` in the data of tasks without "x" among the known names is a mistake."""
    read: set[str] = set()
    for path in (ROOT / "harness_circuits" / "task_data").glob("*.py"):
        importlib.import_module(f"harness_circuits.task_data.{path.stem}")  # its subclasses
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="metadata"), attr="get"),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    read.add(name)
    known = {name for kind in (TaskData, *TaskData.__subclasses__()) for name in kind.more}
    known |= set(TaskData("x", lambda _: ()).known_names())
    assert len(read) > 5
    assert read <= known


def test_a_copied_task_folder_works(tmp_path: Path) -> None:
    for name in ("ioi_circuit", "custom_circuit", "mib"):
        shutil.copytree(ROOT / "tasks" / name, tmp_path / name)
    manager = TaskManager(include_defaults=False, include_path=str(tmp_path))
    assert {"ioi_circuit", "custom_circuit", "mib_ioi_circuit"} <= set(manager.all_tasks)
    assert refused(["ioi_circuit"], include=tmp_path).startswith("pretrained=/there/is/no/such")
    small = {"n_train": 2, "n_test": 2, "n_validation": 0}
    manager = TaskManager(include_defaults=False, include_path=str(tmp_path), metadata=small)
    task = manager.load(["ioi_circuit"])["tasks"]["ioi_circuit"]
    assert len(list(task.test_docs())) == 2


def test_a_task_file_that_cannot_be_read_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text("include: ../not_there.yaml\ntask: mine\n")
    line = ["--model", "circuit", "--model_args", MISSING, "--include_path", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"pretrained=/there/is/no/such/model"):
        main([*line, "--tasks", "ioi_circuit"])
    said = capfd.readouterr().err
    assert f"{tmp_path}/mine.yaml is left out of the tasks: " in said
    assert "not_there.yaml" in said
