"""Ordinary lm-eval tasks on a circuit: equal to `--model hf` at full size, refused without a circuit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.ordinary_tasks import SHAPES, furthest, responses, write_ordinary_tasks
from helpers.random_circuits import random_circuit
from helpers.tiny_tasks import evaluate
from helpers.tiny_tokenizer import save_tiny_model
from lm_eval.models.huggingface import HFLM

from harness_circuits.ablation.calibration import calibration_means
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.formats import save_circuit_file
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.loading.load import load_model
from harness_circuits.passes.installed import InstalledCircuit
from harness_circuits.passes.memory import installed_bytes_per_token
from harness_circuits.passes.native import record

TEXTS = (
    "When Mary and John went to the store",
    "The war lasted from the year",
    "one two three red blue green",
    "The cat and dogs was in",
)


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


def lm(folder: Path, circuit: str, **arguments: Any) -> CircuitLM:
    options = {"ablation": "zero", "device": "cpu", **arguments}
    return CircuitLM(
        pretrained=str(folder / "model"), circuit=str(folder / f"{circuit}.safetensors"), **options
    )


def close(left: dict[str, list[Any]], right: dict[str, list[Any]]) -> bool:
    return furthest(left, right) <= 1e-4


def test_the_full_circuit_is_the_hf_model(folder: Path) -> None:
    hf = HFLM(pretrained=str(folder / "model"), device="cpu", batch_size=3)
    expected = responses(hf, folder)
    assert close(responses(lm(folder, "full", batch_size=3), folder), expected)
    assert not close(responses(lm(folder, "part", batch_size=3), folder), expected)


READING = [
    {"add_bos_token": True},
    {"add_bos_token": False},
    {"prefix_token_id": 5},
    {"max_length": 9},
]


@pytest.mark.parametrize("options", [READING[0] | READING[3], READING[1] | READING[2]])
def test_prompts_are_read_as_hf_reads_them(folder: Path, options: dict[str, Any]) -> None:
    hf = HFLM(pretrained=str(folder / "model"), device="cpu", **options)
    assert close(responses(lm(folder, "full", **options), folder), responses(hf, folder))


@pytest.mark.parametrize("options", [{}, *READING])
def test_calibration_texts_are_read_as_hf_reads_them(
    folder: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same tokens, in parts of as many as go through the model at once."""
    seen: list[int] = []

    def noted(model: Any, inputs: Any) -> Any:
        assert inputs.ids.shape[1] <= options.get("max_length", 64)
        seen.extend(inputs.ids[0].tolist())
        return record(model, inputs)

    monkeypatch.setattr("harness_circuits.ablation.calibration.record", noted)
    hf = HFLM(pretrained=str(folder / "model"), device="cpu", **options)
    model = load_model(str(folder / "model"), **options)
    calibration_means(model, TEXTS * 2, "texts", None, "main")
    assert seen == [token for text in TEXTS * 2 for token in hf.tok_encode(text)]


def test_compat_mib_is_of_pairs_alone(folder: Path) -> None:
    """Its ablation is patching, so that neither means nor tasks without pairs are read under it."""
    with pytest.raises(OptionError, match=r"^compat=mib .*, got level=edge, ablation=mean\.$"):
        lm(folder, "full", compat="mib", ablation="mean")
    published = {"compat": "mib", "ablation": "patching"}
    for more in ({}, {"calibration": "ioi_circuit"}):
        with pytest.raises(OptionError, match=r"^ablation=patching cannot be used for tasks with"):
            evaluate(lm(folder, "full", **published, **more), ["choice"], folder)


def test_batch_size_changes_nothing(folder: Path) -> None:
    one = responses(lm(folder, "part", batch_size=1), folder)
    assert close(responses(lm(folder, "part", batch_size=4), folder), one)


def test_calls_beyond_max_memory_are_run_in_parts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    call = InstalledCircuit.__call__

    def noting(self: InstalledCircuit, index: int, x: torch.Tensor, arguments: Any) -> torch.Tensor:
        seen.append(x.shape[0] * x.shape[1])
        return call(self, index, x, arguments)

    monkeypatch.setattr(InstalledCircuit, "__call__", noting)
    whole = lm(folder, "part", batch_size=4)
    expected = responses(whole, folder)
    assert whole.circuit.given is not None and max(seen) > 32
    (circuit,) = whole.circuit.given.fixed.values()
    per_token = installed_bytes_per_token(whole.circuit_model, circuit)
    seen.clear()
    found = responses(lm(folder, "part", batch_size=4, max_memory=per_token * 40), folder)
    assert max(seen) <= 32
    assert found["generation"] == expected["generation"]
    assert furthest(found, expected) <= 1e-5
    with pytest.raises(OptionError, match=r"One text of \d+ tokens needs .* Raise max_memory, or"):
        responses(lm(folder, "part", max_memory=per_token), folder)


def test_the_complement_of_nothing_is_the_model(folder: Path) -> None:
    full = responses(lm(folder, "full"), folder)
    assert close(responses(lm(folder, "empty", complement=True), folder), full)


def test_means_are_stored_and_reused_and_named(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS))
    found = evaluate(lm(folder, "part", ablation="mean", calibration=str(text)), ["choice"], folder)
    facts = found["config"]["circuit"]["ordinary_tasks"]
    stored = folder / facts["calibration"]["file"]
    assert stored.is_file() and facts["calibration"]["n_texts"] == 4
    assert facts["kept_units"] < facts["all_units"] and facts["ablation"] == "mean"
    before = stored.stat().st_mtime_ns
    again = evaluate(lm(folder, "part", ablation="mean", calibration=str(text)), ["choice"], folder)
    assert stored.stat().st_mtime_ns == before
    assert again["results"]["choice"] == found["results"]["choice"]


@pytest.mark.parametrize("task", list(SHAPES))
def test_without_a_circuit_ordinary_tasks_are_refused(folder: Path, task: str) -> None:
    model = CircuitLM(pretrained=str(folder / "model"), device="cpu")
    with pytest.raises(OptionError, match=r"give circuit=FILE.*--model hf"):
        evaluate(model, [task], folder)


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


def test_an_automatic_batch_size_changes_nothing(folder: Path) -> None:
    expected = responses(lm(folder, "part", batch_size=1), folder)
    found = responses(lm(folder, "part", batch_size="auto", max_batch_size=4), folder)
    assert close(found, expected)


def test_the_results_name_the_circuit(folder: Path) -> None:
    found = evaluate(lm(folder, "part"), ["choice"], folder)["config"]["circuit"]
    facts, file = found["ordinary_tasks"], folder / "part.safetensors"
    assert facts["file"] == str(file) and facts["level"] == "edge"
    assert (facts["ablation"], facts["calibration"], facts["size"]) == ("zero", None, None)
    assert 0 < facts["kept_units"] == facts["edges"] < facts["all_units"]
    assert found["given"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    rest = evaluate(lm(folder, "part", complement=True), ["choice"], folder)
    other = rest["config"]["circuit"]["ordinary_tasks"]
    assert other["complement"] and other["sha256"] != facts["sha256"]
    assert other["kept_units"] == facts["all_units"] - facts["kept_units"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ablation": "patching"}, "ablation=patching cannot be used"),
        ({"ablation": "mean-positional"}, "ablation=mean-positional cannot be used"),
        ({"ablation": "mean"}, "does not say which task"),
        ({"size": 0.5}, "is a circuit and has its size"),
    ],
)
def test_what_cannot_be_done_is_refused(
    folder: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        evaluate(lm(folder, "part", **arguments), ["choice"], folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 2.0, "circuit": __file__}, "size is a number from 1e-09 to 1, got 2.0"),
        ({"size": 0.1}, "give circuit=FILE"),
        ({"complement": "x", "circuit": __file__}, "complement is true or false, got 'x'"),
        ({"size": 0.1, "circuit": __file__}, "ablation=patching cannot be used"),
        (
            {"size": 0.1, "circuit": __file__, "ablation": "mean-positional"},
            "mean-positional cannot be used",
        ),
        ({"complement": True, "circuit": __file__}, "ablation=patching cannot be used"),
        (
            {"circuit": __file__, "ablation": "mean", "calibration": "no.txt"},
            r"calibration=no\.txt: there is no such file",
        ),
        (
            {"circuit": __file__, "ablation": "mean", "calibration": "no.yaml"},
            r"calibration=no\.yaml: there is no task",
        ),
        ({"circuit": "no.json"}, "there is no such file"),
        ({"circuit": "discover:ioi_circuit", "method": "AtP-star", "level": "neuron"}, "AtP-star"),
    ],
)
def test_bad_options_are_refused_before_loading(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        CircuitLM(pretrained="/there/is/no/such/model", **arguments)
