"""Models that are loaded already: as they are, with adapters merged into a copy, and under lm-eval."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_tasks import TASK, documents, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model, word_tokenizer
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

import harness_circuits as hc
from harness_circuits.errors import OptionError, UnsupportedModelError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.patches import register
from harness_circuits.models.circuit_model import Inputs
from harness_circuits.models.fingerprint import loaded_fingerprint
from harness_circuits.models.text_reader import TextReader

INPUTS = Inputs(torch.tensor([[3, 14, 15, 9, 26]]), torch.arange(5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("loaded") / "base", "llama")


@pytest.fixture
def hf(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder)


def lora(hf: Any) -> Any:
    torch.manual_seed(0)
    how = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(hf, how)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn_like(weight) * 0.5)
    return model


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(INPUTS.ids).logits


def test_a_loaded_model_scores_as_its_folder(folder: Path, hf: Any) -> None:
    pairs = hc.pairs_from_docs(documents(0, 4), "pairs")
    expected = hc.discover(hc.load_model(folder), pairs, method="EAP")
    for tokenizer in (None, word_tokenizer(), TextReader(word_tokenizer()), folder):
        model = hc.load_model(hf, tokenizer=tokenizer)
        assert (model.hf, model.name) == (hf, "base")
        found = hc.discover(model, pairs, method="EAP")
        assert (found.values == expected.values).all()


def test_a_loaded_model_without_a_tokenizer_says_so(hf: Any) -> None:
    hf.config._name_or_path = ""
    with pytest.raises(OptionError, match=r"LlamaForCausalLM is a loaded model.*give tokenizer=\."):
        hc.load_model(hf)
    model = hc.load_model(hf, tokenizer=word_tokenizer(), add_bos_token=False)
    assert (model.name, model.reader.add_bos_token) == ("LlamaForCausalLM", False)


def test_adapters_are_merged_into_a_copy_when_asked(hf: Any, folder: Path, tmp_path: Path) -> None:
    plain, adapted = logits(hf), lora(copy.deepcopy(hf))
    wanted = logits(adapted)
    with pytest.raises(UnsupportedModelError, match=r"has adapters.*peft=\"merge\""):
        hc.load_model(adapted)
    model = hc.load_model(adapted, peft="merge")
    assert model.name == "base+default"
    torch.testing.assert_close(model.forward(INPUTS), wanted, rtol=0, atol=1e-4)
    assert torch.equal(logits(adapted), wanted) and hasattr(adapted, "peft_config")
    adapted.save_pretrained(tmp_path / "adapter")
    again = hc.load_model(hf, peft=tmp_path / "adapter")
    torch.testing.assert_close(again.forward(INPUTS), wanted, rtol=0, atol=1e-4)
    assert torch.equal(logits(hf), plain), "the model that was handed over is left as it is"
    with pytest.raises(OptionError, match="peft=merge is for a loaded model of PEFT; base is none"):
        hc.load_model(hf, peft="merge")
    with pytest.raises(OptionError, match="peft=merge is for a model of PEFT that Python code"):
        hc.load_model(folder, peft="merge")


def test_what_a_loaded_model_is_cannot_be_asked_for_otherwise(hf: Any) -> None:
    assert hc.load_model(hf, dtype="float32", device="cpu").hf is hf
    for option, value in (("dtype", "float64"), ("revision", "main"), ("device_map", "auto")):
        with pytest.raises(OptionError, match=f"{option}='{value}' says how to load"):
            hc.load_model(hf, **{option: value})
    with pytest.raises(UnsupportedModelError, match="pretrained is a Linear: it has to be a model"):
        hc.load_model(torch.nn.Linear(2, 2))
    with pytest.raises(OptionError, match="pretrained is a hub id, a folder or a GGUF file, got 3"):
        hc.load_model(3)  # type: ignore[arg-type]


def test_files_stand_for_their_folder(folder: Path, tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        assert hc.load_model(folder / name).name == "base"
    (tmp_path / "model.safetensors").touch()
    for file in (tmp_path / "model.safetensors", folder / "tokenizer.json"):
        with pytest.raises(OptionError, match="is a file; expected a folder"):
            hc.load_model(file)


def test_the_tokenizer_may_be_elsewhere(folder: Path, tmp_path: Path) -> None:
    bare = save_tiny_model(tmp_path / "bare", "llama")
    for path in bare.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(OptionError, match="no usable tokenizer"):
        hc.load_model(bare)
    model = hc.load_model(bare, tokenizer=folder)
    assert len(model.tokenizer) == len(word_tokenizer())


def test_lm_eval_takes_a_loaded_model(folder: Path, hf: Any, tmp_path: Path) -> None:
    include = write_task(tmp_path)
    how = {"method": "EAP", "sizes": [0.1, 1.0]}
    expected = values(evaluate(CircuitLM(pretrained=str(folder), **how), [TASK], include))
    own = CircuitLM(pretrained=hf, tokenizer=word_tokenizer(), **how)
    assert values(evaluate(own, [TASK], include)) == pytest.approx(expected, abs=1e-9)
    register()
    arguments = {"pretrained": hf, "tokenizer": word_tokenizer(), **how}
    results = evaluate("circuit", [TASK], include, model_args=arguments)
    assert values(results) == pytest.approx(expected, abs=1e-9)
    config = json.loads(json.dumps(results["config"], default=lambda x: pytest.fail(repr(x)[:99])))
    assert config["model_args"]["pretrained"] == config["circuit"]["model"] == "base"
    assert config["circuit"]["weights"]["fingerprint"] == loaded_fingerprint(hf)
