"""`check-task` shows a task's pairs for a model, or says what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers.built import built
from helpers.custom_pairs import ROWS, TASK, row, write
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.commands import main
from harness_circuits.task_data.custom import custom


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
        (("greater_than_circuit", "--metadata", '{"variant": "x"}'), "Unknown variant of task"),
        (("TMP/bad.jsonl",), "bad.jsonl has 1 row that is no pair: line 1: it lacks clean"),
        (("TMP/none.csv",), "There is no file of pairs .*none.csv"),
        (("ioi_circuit",), "model does not exist"),
    ],
)
def test_check_task_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    """Before a model is loaded: there is none here."""
    (tmp_path / "bad.jsonl").write_text("{}\n")
    arguments = tuple(x.replace("TMP", str(tmp_path)) for x in arguments)
    with pytest.raises(SystemExit, match=message):
        check(capsys, *arguments, "--pretrained", str(tmp_path / "model"))
