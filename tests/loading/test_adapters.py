"""LoRA adapters: merged with `peft=`, and told from models where one is given as a model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny_tokenizer import save_tiny_model
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from harness_circuits.errors import OptionError, UnsupportedModelError
from harness_circuits.harness.provenance import model_facts
from harness_circuits.loading.load import load_model, take_apart
from harness_circuits.models.circuit_model import Inputs

INPUTS = Inputs(torch.tensor([[3, 14, 15, 9, 26]]), torch.arange(5))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("lora") / "base", "llama")


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    model = lora(base)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn_like(weight) * 0.5)
    model.save_pretrained(base.parent / "adapter")
    return base.parent / "adapter"


def lora(base: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    how = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model: torch.nn.Module = get_peft_model(AutoModelForCausalLM.from_pretrained(base), how)
    return model


@pytest.mark.case("lora-adapter")
def test_an_adapter_is_merged(base: Path, adapter: Path) -> None:
    from peft import PeftModel

    model = load_model(str(base), peft=str(adapter))
    assert model.name == "base+adapter"
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(base)
        before = plain(INPUTS.ids).logits
        wanted = PeftModel.from_pretrained(plain, str(adapter))(INPUTS.ids).logits
    torch.testing.assert_close(model.forward(INPUTS), wanted, rtol=0, atol=1e-4)
    assert (wanted - before).abs().max() > 0.1
    assert not [name for name, _ in model.hf.named_parameters() if "lora" in name]


def test_the_results_say_which_adapter(base: Path, adapter: Path) -> None:
    model = load_model(str(base), peft=str(adapter))
    plain = model_facts(model, str(base))["weights"]
    merged = model_facts(model, str(base), str(adapter))["weights"]
    assert merged["source"] == f"{base}+{adapter}"
    assert merged["fingerprint"].startswith(plain["fingerprint"] + "+")


@pytest.mark.case("lora-adapter")
def test_an_adapter_given_as_a_model_is_named_with_the_way_out(base: Path, adapter: Path) -> None:
    with pytest.raises(OptionError) as error:
        load_model(str(adapter))
    assert str(error.value) == (
        f"pretrained={adapter} is a LoRA adapter of {base}: use pretrained={base},peft={adapter} "
        "(which merges it)."
    )


def test_what_is_no_adapter_of_the_model_is_refused(
    base: Path, adapter: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=r"holds no adapter: there is no adapter_config\.json"):
        load_model(str(base), peft=str(base))
    other = save_tiny_model(tmp_path / "other", "gpt2")
    with pytest.raises(OptionError, match=r"cannot be merged into other: .*Target mod"):
        load_model(str(other), peft=str(adapter))


def test_a_model_with_adapters_is_told_to_merge_them(base: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="has adapters: merge them first"):
        take_apart(lora(base))  # type: ignore[arg-type]
