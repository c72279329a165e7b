"""`check-task` shows a task's pairs for a model, or says what is wrong."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.built import built
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.commands import main
from harness_circuits.task_data.custom import custom

TASK = "custom_circuit"
WORDS = ("cat", "cats", "dog", "dogs", "one", "two", "three")


def row(word: str, other: str, **more: Any) -> dict[str, Any]:
    return {
        "clean": f"The {word}",
        "corrupted": f"The {other}",
        "correct": " A",
        "incorrect": [" B", " C"],
        **more,
    }


ROWS = [row(a, b) for a in WORDS for b in WORDS if a != b]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        from datasets import Dataset

        rows = [{**r, "correct": [r["correct"]]} for r in rows]
        Dataset.from_list(rows).to_parquet(path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            for r in rows:
                lists = {k: json.dumps(v) for k, v in r.items() if isinstance(v, list)}
                writer.writerow({**r, **lists})
    else:
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main.main(["check-task", *arguments])
    return capsys.readouterr().out


def test_check_task_shows_pairs_tokens_and_what_the_model_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(save_tiny_model(tmp_path / "model"))
    rows = [*ROWS, row("red cat", "dog", split="train")]
    metadata = json.dumps({"pairs": str(write(tmp_path / "pairs.jsonl", rows))})
    out = check(capsys, TASK, "--pretrained", model, "--metadata", metadata, "--show", "1")
    splits = built(custom, pairs=str(tmp_path / "pairs.jsonl"))
    sizes = ", ".join(f"{len(docs)} {name}" for name, docs in splits.items())
    assert f"{TASK} for model: {sizes} pairs\nleft out: 1\n" in out
    assert "  1 clean and corrupted differ in token length\n" in out
    first = splits["test"][0]
    one, other = (repr(f"{first[name].removeprefix('The')}") for name in ("clean", "corrupted"))
    assert re.search(rf"\n +1 {re.escape(one)} +{re.escape(other)}  <\n", out)
    assert "right: ' A' (1 token)\n" in out and "wrong: ' B' (1 token), ' C' (1 token)\n" in out
    assert re.search(r"logit_diff: -?\d+\.\d+ on clean prompts, -?\d+\.\d+ on corrupted", out)
    assert re.search(r"accuracy: \d\.\d+ \(95% interval .*by guessing 0\.333", out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ioi_circiut",), "Did you mean 'ioi_circuit'"),
        (("circuit_suite",), "of a group, name one of its tasks"),
        ((TASK, "--metadata", "{"), "--metadata is JSON such as"),
        ((TASK, "--metadata", "[]"), "--metadata is a JSON object"),
    ],
)
def test_check_task_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    model = str(save_tiny_model(tmp_path / "model"))
    with pytest.raises(SystemExit, match=message):
        check(capsys, *arguments, "--pretrained", model)
