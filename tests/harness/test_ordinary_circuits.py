"""The circuits that tasks without pairs run on: stored means, what results say, what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from helpers.ordinary_runs import TEXTS, lm
from helpers.ordinary_tasks import write_ordinary_tasks
from helpers.random_circuits import random_circuit
from helpers.tiny_tasks import evaluate
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.circuits import known
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.formats import save_circuit_file
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.loading.load import load_model

FILE = str(next((Path(known.__file__).parent / "known_circuits").glob("*.json")))


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
        ({"size": 2.0, "circuit": FILE}, "size is a number from 1e-09 to 1, got 2.0"),
        ({"size": 0.1}, "give circuit=FILE"),
        ({"complement": "x", "circuit": FILE}, "complement is true or false, got 'x'"),
        ({"size": 0.1, "circuit": FILE}, "ablation=patching cannot be used"),
        (
            {"size": 0.1, "circuit": FILE, "ablation": "mean-positional"},
            "mean-positional cannot be used",
        ),
        ({"complement": True, "circuit": FILE}, "ablation=patching cannot be used"),
        (
            {"circuit": FILE, "ablation": "mean", "calibration": "no.txt"},
            r"calibration=no\.txt: there is no such file",
        ),
        (
            {"circuit": FILE, "ablation": "mean", "calibration": "no.yaml"},
            r"calibration=no\.yaml: there is no task",
        ),
        ({"circuit": "no.json"}, "there is no such file"),
        ({"circuit": "discover:ioi_circuit", "method": "AtP-star", "level": "neuron"}, "AtP-star"),
    ],
)
def test_bad_options_are_refused_before_loading(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        CircuitLM(pretrained="/there/is/no/such/model", **arguments)
