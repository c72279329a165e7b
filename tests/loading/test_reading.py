"""What is wrong with a model's files is said in one line, before the weights are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_tokenizer import WORDS, save_tiny_model, word_tokenizer

from harness_circuits.errors import CircuitError, OptionError, UnsupportedModelError
from harness_circuits.loading.load import load_model
from harness_circuits.models.circuit_model import Inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "model", "llama")


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(kind: type[CircuitError], source: Path | str, **options: Any) -> str:
    with pytest.raises(kind) as error:
        load_model(str(source), **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.case("gpt-neo")
@pytest.mark.parametrize("architecture", ["gpt_neo", "gptj", "phi3", "falcon", "opt", "olmo"])
def test_the_kernel_is_one_the_model_has(architecture: str, tmp_path: Path) -> None:
    """GPT-Neo and GPT-J have no fused one."""
    model = load_model(str(save_tiny_model(tmp_path / "model", architecture)))
    inputs = Inputs(torch.tensor([[3, 14, 15]]), torch.arange(3))
    with torch.no_grad():
        assert torch.equal(model.forward(inputs), model.hf(inputs.ids, use_cache=False).logits)


@pytest.mark.case("quantised-checkpoint")
@pytest.mark.parametrize(
    "how",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True},
        {"quant_method": "compressed-tensors", "format": "int-quantized"},
        {"quant_method": "fp8"},
    ],
    ids=lambda how: str(how["quant_method"]),
)
def test_quantised_checkpoints_are_refused(folder: Path, how: dict[str, Any]) -> None:
    configure(folder, quantization_config=how)
    (folder / "model.safetensors").unlink()  # not read
    message = refusal(UnsupportedModelError, folder)
    assert message == (
        f"model is a quantised checkpoint ({how['quant_method']}); circuits need weights in "
        "floating point: load the unquantised model, or a GGUF file."
    )


def test_the_models_own_code_is_not_run_unasked(folder: Path) -> None:
    (folder / "own.py").write_text("raise SystemExit('ran')\n")
    configure(
        folder, model_type="own", auto_map={"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}
    )
    message = refusal(OptionError, folder)
    assert message.endswith("look at it, then set trust_remote_code=true.")


def test_a_tokenizer_larger_than_the_embedding_is_another_models(folder: Path) -> None:
    word_tokenizer([*WORDS, "more", "words"]).save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    message = refusal(OptionError, folder)
    assert message.startswith("model cannot be used: its tokenizer has ")
    assert message.endswith(" rows. It is the tokenizer of another model.")


def test_added_tokens_beyond_the_embedding_are_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = word_tokenizer()
    tokenizer.add_tokens(["<never>"])
    tokenizer.save_pretrained(folder)
    load_model(str(folder))
    assert "the added tokens ['<never>'] cannot be read" in caplog.text


@pytest.mark.parametrize("path", ["./nowhere", "/no/such/model", "a/b/c", "../x"])
def test_a_path_that_does_not_exist_is_no_hub_id(path: str) -> None:
    assert refusal(OptionError, path).endswith(" does not exist.")


@pytest.mark.parametrize("left", [0, 40, 2000])
def test_damaged_weights_are_one_line(folder: Path, left: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:left])
    assert "pretrained=model (revision main) cannot be loaded: " in refusal(OptionError, folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"model_type": "no-such"}'])
def test_a_damaged_configuration_is_one_line(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert "pretrained=model (revision main) cannot be loaded: " in refusal(OptionError, folder)


def test_a_cut_off_gguf_file_is_one_line(tmp_path: Path) -> None:
    from helpers.gguf_files import write_tiny_gguf

    path = write_tiny_gguf(tmp_path / "cut.gguf")
    path.write_bytes(path.read_bytes()[:3000])
    assert "transformers cannot read" in refusal(CircuitError, path)
