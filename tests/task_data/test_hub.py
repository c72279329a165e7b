"""Data sets of the hub: read, limited, their version recorded, and refused with the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.built import built

from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.task_data import mib
from harness_circuits.task_data.hub import HubData, load_splits

NAMES = ("Mary", "John", "Anna", "Tom")
DATA = {data.task: data for data in vars(mib).values() if isinstance(data, HubData)}
TASKS = tuple(DATA)


def ioi_row(number: int) -> dict[str, Any]:
    io, s, c = (NAMES[(number + k) % 4] for k in range(3))
    text = "When {} and {} went to the store {} gave a drink to"
    return {
        "template": text,
        "metadata": {"indirect_object": io, "subject": s, "random_c": c},
        "prompt": text.format(io, s, s),
        "choices": [io, s],
        "answerKey": 0,
        "s2_io_flip_counterfactual": {
            "prompt": text.format(io, s, io),
            "choices": [io, s],
            "answerKey": 1,
        },
        "abc_counterfactual": {
            "prompt": text.format(NAMES[(number + 3) % 4], c, io),
            "choices": [io, s],
            "answerKey": 0,
        },
    }


def choice_row(number: int) -> dict[str, Any]:
    text = "is the dog red or blue ? {} red {} blue :"
    one, two = ("A", "B"), ("C", "D")
    key = number % 2
    return {
        "prompt": ("the " * (number % 3)) + text.format(*one),
        "choices": {"label": list(one), "text": ["red", "blue"]},
        "answerKey": key,
        "symbol_counterfactual": {
            "prompt": ("the " * (number % 3)) + text.format(*two),
            "choices": {"label": list(two), "text": ["red", "blue"]},
            "answerKey": key,
        },
    }


def sum_row(number: int, operator: str) -> dict[str, Any]:
    a, b = number % 3, number % 2
    words = ("one", "two", "three", "A", "B", "C", "D")
    return {
        "prompt": f"{words[a]} {words[b]} is",
        "label": f" {words[a + b]}",
        "operator": operator,
        "operand1": a,
        "operand2": b,
        "random_counterfactual": {
            "prompt": f"{words[a + 1]} {words[b]} is",
            "label": f" {words[a + b + 1]}",
        },
    }


def make_rows(task: str, n: int) -> list[dict[str, Any]]:
    if "ioi" in task:
        return [ioi_row(number) for number in range(n)]
    if "arithmetic" in task:
        return [sum_row(number, "-" if "subtraction" in task else "+") for number in range(n)]
    return [choice_row(number) for number in range(n)]


def write(folder: Path, rows: dict[str, list[dict[str, Any]]], suffix: str = "jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, items in rows.items():
        path = folder / f"{split}.{suffix}"
        if suffix == "parquet":
            from datasets import Dataset

            Dataset.from_list(items).to_parquet(path)
        else:
            path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder


def dataset(tmp_path: Path, task: str, suffix: str = "jsonl", n: int = 6) -> Path:
    rows = make_rows(task, n)
    config = DATA[task].name
    target = tmp_path / "data" / config if config else tmp_path / "data"
    write(target, {"train": rows, "validation": rows[:4], "test": rows[:2]}, suffix)
    return tmp_path / "data"


def build(task: str, folder: Path, **metadata: Any) -> dict[str, Any]:
    return built(DATA[task], dataset_path=str(folder), **metadata)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    rows = make_rows("ioi", 2)
    for row in rows:
        del row["metadata"]["random_c"]
    folder = write(tmp_path, {"train": rows, "test": rows})
    with pytest.raises(TaskDataError, match=r"split train .*, row 0: not as expected.*random_c"):
        build("mib_ioi_circuit", folder)


def test_limits_hold_and_are_checked(tmp_path: Path) -> None:
    folder = dataset(tmp_path, "mib_ioi_circuit")
    splits = build("mib_ioi_circuit", folder, n_train=3, n_validation=2, n_test=0)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 3, "validation": 2}
    with pytest.raises(OptionError, match=r"n_train is a whole number from 0 to 1000000"):
        build("mib_ioi_circuit", folder, n_train="many")


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach 'mib-bench/ioi' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(TaskDataError) as caught:
        DATA["mib_ioi_circuit"]()
    message = str(caught.value)
    for part in ("mib-bench/ioi", DATA["mib_ioi_circuit"].revision, "network", "dataset_path"):
        assert part in message


@pytest.mark.parametrize("commit", [None, "0123456789abcdef" * 2 + "01234567"])
@pytest.mark.parametrize("task", TASKS)
def test_the_version_that_was_read_is_recorded_and_warned_about(
    tmp_path: Path,
    task: str,
    commit: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import datasets

    local = load_splits(task, str(dataset(tmp_path, task)), DATA[task].name, "main")
    asked = {}

    def hub(path: str, name: str | None, revision: str) -> dict[str, Any]:
        asked.update(path=path, name=name, revision=revision)
        read = "f" * 40 if revision == "main" else revision
        for split in local.values():
            split.info.download_checksums = {f"hf://datasets/{path}@{read}/x.parquet": {}}
        return dict(local)

    monkeypatch.setattr(datasets, "load_dataset", hub)
    DATA[task](**({"dataset_revision": commit} if commit else {}))
    revision = commit or DATA[task].revision
    assert asked == {"path": DATA[task].path, "name": DATA[task].name, "revision": revision}
    pinned = revision != "main"
    assert DATA[task].facts == {
        "dataset": DATA[task].path,
        "configuration": DATA[task].name,
        "revision": revision,
        "pinned": pinned,
        "commit": revision if pinned else "f" * 40,
        "counterfactual": DATA[task].counterfactual,
    }
    warned = f"{task}: no commit of {DATA[task].path} is pinned, so the newest version of 'main'"
    assert (warned in caplog.text) is not pinned


def test_bad_folders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="cannot be read as a dataset"):
        build("mib_ioi_circuit", tmp_path)
    rows = make_rows("ioi", 2)
    with pytest.raises(TaskDataError, match=r"has the splits \['train'\]; it needs"):
        build("mib_ioi_circuit", write(tmp_path / "one", {"train": rows}))
    for row in rows:
        row["metadata"]["random_c"] = "Mary John"
    with pytest.raises(TaskDataError, match=f"no train.*{mib.UNEQUAL_NAMES}"):
        build("mib_ioi_circuit", write(tmp_path / "no", {"train": rows, "validation": rows}))
