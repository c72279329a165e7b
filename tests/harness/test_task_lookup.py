"""Tasks by name: found as the run finds them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.found_tasks import OPTIONS, given, lm, manager, run
from helpers.ordinary_tasks import write_ordinary_tasks
from helpers.small_lm_eval import NO_TASKS
from helpers.tiny_tasks import TASK, documents, write_task
from helpers.tiny_tokenizer import save_tiny_model
from lm_eval.tasks import TaskManager

from harness_circuits.errors import OptionError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.patches import register
from harness_circuits.harness.task_lookup import find_task


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    register()
    folder = tmp_path_factory.mktemp("discover")
    save_tiny_model(folder / "model", "llama")
    docs = [{"text": "When Mary and John went", "choices": [" Mary", " red cat"], "label": 0}]
    write_ordinary_tasks(folder, docs)
    write_task(folder)
    (folder / "options.py").write_text(OPTIONS)
    yaml = (folder / f"{TASK}.yaml").read_text().replace(f"task: {TASK}", "task: optional")
    lines = [line for line in yaml.splitlines() if not line.startswith("dataset_")]
    lines.append("custom_dataset: !function options.data")
    (folder / "optional.yaml").write_text("\n".join(lines))
    rows = [{"split": "test", **doc} for doc in documents(1, 2)]
    rows += [{"split": "train", **doc} for doc in documents(0, 3)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_task_is_found_by_name_under_the_include_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lm_eval.tasks.manager.__file__", NO_TASKS)
    TaskManager(include_defaults=False, include_path=str(tmp_path))
    with pytest.raises(OptionError, match="or found under --include_path"):
        lm(folder, "optional")
    manager(folder)
    assert given(lm(folder, "optional"), folder, n_train=3)["provenance"]["n_examples"] == 3
    means = CircuitLM(
        pretrained=str(folder / "model"),
        circuit=f"discover:{TASK}",
        calibration="optional",
        **{"method": "EAP", "ablation": "mean", "size": 0.3, "device": "cpu"},
    )
    facts = run(means, folder, n_train=4, variant="The")["ordinary_tasks"]
    assert facts["calibration"]["n_texts"] == 4


def test_the_runs_own_task_of_that_name_stays(folder: Path) -> None:
    found = run(lm(folder, TASK), folder, ("choice", TASK))
    assert found["tasks"][TASK]["n_evaluation"] == 5 and found["tasks"][TASK]["curves"]


def test_a_group_is_no_task_to_discover_on(folder: Path) -> None:
    (folder / "both.yaml").write_text("group: both\ntask: [choice, generation]\n")
    manager(folder)
    with pytest.raises(OptionError, match="both is a group of 2 tasks: name one"):
        find_task("both", {})
