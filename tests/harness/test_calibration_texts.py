"""What `calibration=` names: files of texts, and tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.ordinary_runs import TEXTS, lm
from helpers.ordinary_tasks import write_ordinary_tasks
from helpers.random_circuits import random_circuit
from helpers.tiny_tasks import evaluate
from helpers.tiny_tokenizer import save_tiny_model
from lm_eval.models.huggingface import HFLM

from harness_circuits.ablation.calibration import calibration_means
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import TaskDataError
from harness_circuits.formats import save_circuit_file
from harness_circuits.loading.load import load_model
from harness_circuits.passes.native import source_outputs

READING = [
    {"add_bos_token": True},
    {"add_bos_token": False},
    {"prefix_token_id": 5},
    {"max_length": 9},
]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    save_tiny_model(folder / "model", request.param)
    docs = [{"text": text, "choices": [" Mary", " red cat"], "label": 0} for text in TEXTS]
    write_ordinary_tasks(folder, docs)
    model = load_model(str(folder / "model"))
    save_circuit_file(folder / "full.safetensors", Circuit.full(ScoreSpace(model.graph)))
    save_circuit_file(folder / "part.safetensors", random_circuit(model))
    save_circuit_file(folder / "empty.safetensors", Circuit.empty(ScoreSpace(model.graph)))
    return folder


@pytest.mark.parametrize("options", [{}, *READING])
def test_calibration_texts_are_read_as_hf_reads_them(
    folder: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tokens, in parts of as many as go through the model at once."""
    seen: list[int] = []

    def noted(model: Any, inputs: Any) -> Any:
        assert inputs.ids.shape[1] <= options.get("max_length", 64)
        seen.extend(inputs.ids[0].tolist())
        return source_outputs(model, inputs)

    monkeypatch.setattr("harness_circuits.ablation.calibration.source_outputs", noted)
    hf = HFLM(pretrained=str(folder / "model"), device="cpu", **options)
    model = load_model(str(folder / "model"), **options)
    calibration_means(model, TEXTS * 2, "texts", None, "main")
    assert seen == [token for text in TEXTS * 2 for token in hf.tok_encode(text)]


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".yaml"])
def test_means_come_from_text_files_and_tasks(folder: Path, tmp_path: Path, suffix: str) -> None:
    """The same texts give the same means, whatever they are read from."""
    path = folder / "choice.yaml"
    if suffix == ".txt":
        path = tmp_path / "text.txt"
        path.write_text("\n".join(TEXTS))
    if suffix == ".jsonl":
        path = tmp_path / "text.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    found = evaluate(lm(folder, "part", ablation="mean", calibration=str(path)), ["choice"], folder)
    facts = found["config"]["circuit"]["ordinary_tasks"]["calibration"]
    plain = tmp_path / "again.txt"
    plain.write_text("\n".join(TEXTS))
    model = lm(folder, "part", ablation="mean", calibration=str(plain))
    expected = evaluate(model, ["choice"], folder)["config"]["circuit"]["ordinary_tasks"]
    assert facts["hash"] == expected["calibration"]["hash"] and facts["n_texts"] == len(TEXTS)


def test_calibration_texts_are_utf8_with_or_without_a_mark(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "When Mary and John went"}\n', encoding="utf-8-sig")
    found = evaluate(lm(folder, "part", ablation="mean", calibration=str(path)), ["choice"], folder)
    assert found["config"]["circuit"]["ordinary_tasks"]["calibration"]["n_texts"] == 1
    path.write_bytes('{"text": "caf\u00e9"}'.encode("cp1252"))
    with pytest.raises(
        TaskDataError, match=r"texts\.jsonl is not UTF-8: line 1 .* Save it as UTF-8\."
    ):
        evaluate(lm(folder, "part", ablation="mean", calibration=str(path)), ["choice"], folder)


def test_a_malformed_line_of_calibration_texts_is_named(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "one"}\n{"other": 1}\n')
    with pytest.raises(TaskDataError, match=r"bad\.jsonl, line 2: expected a JSON object"):
        evaluate(lm(folder, "part", ablation="mean", calibration=str(path)), ["choice"], folder)
