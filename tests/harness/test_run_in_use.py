"""`circuit=discover:TASK` and `calibration=TASK`: the task is built as if the run itself ran it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.found_tasks import OPTIONS, given, lm, manager, run
from helpers.ordinary_tasks import write_ordinary_tasks
from helpers.small_lm_eval import small_lm_eval
from helpers.tiny_tasks import TASK, documents, write_task
from helpers.tiny_tokenizer import save_tiny_model
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.patches import register


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


def pairs_of(folder: Path, task: str, model: Path, **metadata: Any) -> str:
    """The training pairs of a run of the task itself."""
    own = CircuitLM(pretrained=str(model), method="EAP", sizes="0.1:1", bootstrap_iters=5)
    facts: dict[str, Any] = run(own, folder, (task,), **metadata)["tasks"][task]
    return str(facts["discovery_pairs"])


@pytest.mark.case("discover-ignores-metadata")
def test_a_variant_and_the_size_of_a_split_are_the_runs(folder: Path) -> None:
    manager(folder)
    model = lm(folder, "optional")
    hashes = set()
    for metadata in ({"n_train": 7}, {"n_train": 7, "variant": "The"}, {"n_train": 5}):
        found = given(model, folder, n_test=3, **metadata)
        provenance = found["provenance"]
        assert provenance["n_examples"] == metadata["n_train"]
        assert provenance["metadata"] == {"n_test": 3, **metadata}
        wanted = pairs_of(folder, "optional", folder / "model", n_test=3, **metadata)
        assert provenance["discovery_pairs"] == wanted
        hashes.add(found["sha256"])
    assert len(hashes) == 3


@pytest.mark.case("discover-ignores-metadata")
def test_pairs_of_ones_own_are_discovered_on(folder: Path) -> None:
    from harness_circuits.harness.plugin import tasks_folder

    folders = [str(folder), str(tasks_folder())]
    found = simple_evaluate(
        model=lm(folder, "custom_circuit"),
        tasks=["choice"],
        task_manager=TaskManager(
            include_defaults=False,
            include_path=folders,
            metadata={"pairs": str(folder / "pairs.jsonl")},
        ),
        bootstrap_iters=0,
    )
    assert found is not None
    assert found["config"]["circuit"]["given"]["provenance"]["n_examples"] == 3


def test_the_command_line_passes_all_of_it_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = f"pretrained={folder / 'model'},circuit=discover:optional,method=EAP,size=0.3"
    command = ["--model", "circuit", "--model_args", f"{arguments},ablation=zero"]
    command += ["--include_path", str(folder), "--tasks", "choice", "--device", "cpu"]
    command += ["--metadata", '{"variant": "The", "n_train": 6}', "--output_path", str(tmp_path)]
    small_lm_eval(monkeypatch, *command)
    (path,) = tmp_path.rglob("results_*.json")
    provenance = json.loads(path.read_text())["config"]["circuit"]["given"]["provenance"]
    assert provenance["n_examples"] == 6 and provenance["metadata"]["variant"] == "The"
    wanted = pairs_of(folder, "optional", folder / "model", n_train=6, variant="The")
    assert provenance["discovery_pairs"] == wanted
