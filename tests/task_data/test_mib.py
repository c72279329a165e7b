"""The MIB tasks on local datasets with the columns of the benchmark's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from helpers.environments import ROOT
from helpers.hub_files import DATA, TASKS, build, dataset, ioi_row, make_rows, write
from helpers.tiny_tasks import evaluate, values
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.errors import OptionError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.task_data import mib


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_rows_become_pairs_with_the_benchmarks_answers(
    tmp_path: Path, task: str, suffix: str
) -> None:
    splits = build(task, dataset(tmp_path, task, suffix))
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [6, 4, 2]
    for doc, row in zip(splits["train"], make_rows(task, 6), strict=True):
        column = f"{DATA[task].counterfactual}_counterfactual"
        assert (doc["clean"], doc["corrupted"]) == (row["prompt"], row[column]["prompt"])
        assert (doc["correct"], doc["incorrect"]) == ([0], [1])
    first = splits["train"][0]["choices"]
    expected = {
        "ioi": [" Mary", " John"],
        "arithmetic": [" one", " two"],
        "mcqa": ["A", "C"],
        "arc": ["A", "C"],
    }
    assert first == next(value for key, value in expected.items() if key in task)


def test_each_filter_leaves_out_and_counts(tmp_path: Path) -> None:
    rows = make_rows("ioi", 4)
    rows[0]["metadata"]["random_c"] = "Mary John"  # two tokens
    rows[1]["s2_io_flip_counterfactual"] = None
    splits = build("mib_ioi_circuit", write(tmp_path / "i", {"train": rows, "test": rows}))
    assert len(splits["train"]) == 2
    counts = DATA["mib_ioi_circuit"].left_out
    assert counts == {mib.UNEQUAL_NAMES: 2, mib.NO_COUNTERFACTUAL: 2}

    sums = make_rows("arithmetic", 5)
    sums[0]["operator"] = "-"
    sums[1]["label"] = " one two"
    sums[2]["random_counterfactual"]["label"] = " two one"
    sums[3]["random_counterfactual"] = None
    task = "mib_arithmetic_addition_circuit"
    splits = build(task, write(tmp_path / "s", {"train": sums, "validation": sums}))
    assert len(splits["train"]) == len(splits["validation"]) == 1
    assert DATA[task].left_out == {
        mib.OTHER_OPERATOR: 2,
        mib.NOT_ONE_TOKEN: 4,
        mib.NO_COUNTERFACTUAL: 2,
    }

    letters = make_rows("arc", 3)
    letters[0]["symbol_counterfactual"]["choices"]["label"] = ["C D", "D"]
    task = "mib_arc_easy_circuit"
    assert len(build(task, write(tmp_path / "l", {"train": letters, "test": letters}))["test"]) == 2
    assert DATA[task].left_out == {mib.UNEQUAL_LABELS: 2}


def test_prompts_of_unequal_length_are_left_out(tmp_path: Path) -> None:
    rows = make_rows("mcqa", 3)
    rows[1]["symbol_counterfactual"]["prompt"] += " the"
    splits = build("mib_mcqa_circuit", write(tmp_path, {"train": rows, "validation": rows[:1]}))
    assert len(splits["train"]) == 2
    assert DATA["mib_mcqa_circuit"].left_out == {"clean and corrupted differ in token length": 1}


def test_the_counterfactual_can_be_chosen_and_is_checked(tmp_path: Path) -> None:
    folder = dataset(tmp_path, "mib_ioi_circuit")
    doc = build("mib_ioi_circuit", folder, counterfactual="abc")["train"][0]
    assert doc["corrupted"] == ioi_row(0)["abc_counterfactual"]["prompt"]
    with pytest.raises(OptionError, match="Did you mean 's2_io_flip'"):
        build("mib_ioi_circuit", folder, counterfactual="s2_io_fip")


def test_every_known_commit_is_whole() -> None:
    pinned = {task: data.revision for task, data in DATA.items() if data.revision != "main"}
    assert len(pinned) == 4  # no commit is known of subtraction and arc_challenge
    assert all(len(commit) == 40 for commit in pinned.values())


def test_tasks_and_group_name_the_data_of_this_package() -> None:
    folder = ROOT / "tasks" / "mib"
    (group,) = [yaml.safe_load((folder / "mib_circuit.yaml").read_text())]
    assert tuple(group["task"]) == TASKS
    for task in TASKS:
        text = (folder / f"{task}.yaml").read_text()
        variable = next(name for name, data in vars(mib).items() if data is DATA[task])
        assert f"custom_dataset: !function harness_circuits.task_data.mib.{variable}\n" in text
        assert f"task: {task}\n" in text


def test_a_task_runs_under_lm_eval(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model")
    lm = CircuitLM(pretrained=str(model), sizes="0.1:1", bootstrap_iters=20, method="EAP")
    folder = dataset(tmp_path, "mib_mcqa_circuit")
    metadata = {"pretrained": str(model), "dataset_path": str(folder)}
    task = "mib_mcqa_circuit"
    results = evaluate(lm, [task], ROOT / "tasks" / "mib", metadata=metadata)
    found, data = values(results, task), results["config"]["circuit"]["tasks"][task]["data"]
    assert (data["dataset"], data["pinned"], data["counterfactual"]) == (
        str(folder),
        False,
        "symbol",
    )
    assert results["configs"][task]["metadata"]["data"] == data
    assert found["faithfulness@1"] == pytest.approx(1, abs=1e-4)
