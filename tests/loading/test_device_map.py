"""`device_map`: transformers spreads the model, accelerate hooks its modules, numbers stay the same.

What several devices do is in test_spread_model.py; here all of them are the CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import dispatch_model
from helpers.ordinary_tasks import responses, write_ordinary_tasks
from helpers.random_circuits import random_circuit
from helpers.tiny_tasks import evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model
from transformers import AutoModelForCausalLM

from harness_circuits.errors import OptionError
from harness_circuits.formats import save_circuit_file
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.loading.load import load_model
from harness_circuits.machine.ranks import Ranks
from harness_circuits.models.circuit_model import Inputs

INPUTS = Inputs(torch.arange(2, 10)[None], torch.tensor([7]))
GPT2 = ("wte", "wpe", "drop", "h.0", "h.1", "ln_f")
LLAMA = ("embed_tokens", "rotary_emb", "layers.0", "layers.1", "norm")
PARTS = {
    "gpt2": ["lm_head", *(f"transformer.{part}" for part in GPT2)],
    "llama": ["lm_head", *(f"model.{part}" for part in LLAMA)],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers leaves accelerate's hooks out where a map names one device only."""
    loaded = AutoModelForCausalLM.from_pretrained

    def hooked(*args: Any, **options: Any) -> Any:
        hf, device_map = loaded(*args, **options), options.get("device_map")
        if device_map is None:
            return hf
        skip = hf._skip_keys_device_placement
        return dispatch_model(hf, device_map, force_hooks=True, skip_keys=skip)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", hooked)


def test_the_map_is_checked_before_the_model_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "harness_circuits.harness.lm"
    monkeypatch.setattr(f"{where}.join_processes", lambda: (Ranks(on_machine=2), None))
    monkeypatch.setattr(f"{where}.load_model", None)
    with pytest.raises(OptionError, match="each of the 2 processes"):
        CircuitLM(pretrained=str(folder), device_map="auto")


@pytest.mark.parametrize("device_map", ["cpu", {"": "cpu"}])
def test_a_map_to_one_device_changes_nothing(folder: Path, device_map: Any) -> None:
    plain = load_model(str(folder), device="cpu").forward(INPUTS)
    placed = load_model(str(folder), device="cpu", device_map=device_map)
    torch.testing.assert_close(placed.forward(INPUTS), plain, rtol=0, atol=0)


@pytest.mark.usefixtures("hooks")
@pytest.mark.parametrize(
    ("architecture", "level"),
    [pytest.param("gpt2", "node", marks=pytest.mark.slow), ("llama", "edge")],
)
def test_accelerates_hooks_change_no_number(architecture: str, level: str, tmp_path: Path) -> None:
    """Discovery and a curve; then ordinary tasks, generation among them, on an installed circuit."""
    model = str(save_tiny_model(tmp_path / "model", architecture))
    device_map = dict.fromkeys(PARTS[architecture], "cpu")
    write_task(tmp_path)
    write_ordinary_tasks(tmp_path, [{"text": "The cat", "choices": [" Mary", " red"], "label": 0}])
    found, answers = [], []
    circuit = tmp_path / "part.safetensors"
    for options in ({}, {"device_map": device_map}):
        arguments = {"pretrained": model, "device": "cpu", **options}
        lm = CircuitLM(**arguments, level=level, ig_steps=2, sizes="0.1 0.5")
        hooked = {name for name, m in lm.circuit_model.hf.named_modules() if hasattr(m, "_hf_hook")}
        assert hooked >= set(PARTS[architecture]) if options else not hooked
        found.append(values(evaluate(lm, ["tiny_ioi"], tmp_path)))
        if not circuit.exists():
            save_circuit_file(circuit, random_circuit(lm.circuit_model, level))
        installed = CircuitLM(**arguments, circuit=str(circuit), ablation="zero")
        answers.append(responses(installed, tmp_path))
    assert found[0] == found[1] and "cpr" in found[0]
    assert answers[0] == answers[1]


def test_offloaded_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    where = {**dict.fromkeys(PARTS["llama"], "cpu"), "model.layers.1": "disk"}
    with pytest.raises(OptionError, match=r"device_map put .* on cpu, meta .*over more GPUs"):
        load_model(str(folder), device_map=where, offload_folder=str(tmp_path / "offload"))
