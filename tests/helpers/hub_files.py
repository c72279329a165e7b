"""Rows of data sets of the hub as local files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.built import built

from harness_circuits.task_data import mib
from harness_circuits.task_data.hub import HubData

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
