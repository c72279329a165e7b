"""Loading a model: hub id, folder, GGUF file; dtypes and devices; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.gguf_files import write_tiny_gguf
from helpers.tiny_models import random_hf
from transformers import T5Config, T5ForConditionalGeneration

from harness_circuits.errors import CircuitError, OptionError, UnsupportedModelError
from harness_circuits.harness.provenance import model_facts
from harness_circuits.loading.load import check_device, load_model, resolve, take_apart
from harness_circuits.models.circuit_model import Inputs

INPUTS = Inputs(torch.tensor([[3, 14, 15, 9, 26], [2, 7, 18, 28, 18]]), torch.arange(5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder, made from a GGUF file by `load_model` itself."""
    path = write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    return Path(resolve(str(path))[0])


def test_a_gguf_file_and_its_folder_are_the_same_model(folder: Path, tmp_path: Path) -> None:
    from_file = load_model(str(write_tiny_gguf(tmp_path / "tiny.gguf")))
    from_folder = load_model(str(folder), kv_heads="grouped", dtype="bfloat16")
    assert from_file.name == "tiny"
    assert from_folder.name == folder.resolve().name
    assert (from_file.dtype, from_folder.dtype) == (torch.float32, torch.bfloat16)
    assert (from_file.graph.n_heads, from_file.graph.n_kv_heads) == (2, 2)
    assert from_folder.graph.n_kv_heads == 1
    assert from_file.tokenizer.encode("ab") == from_folder.tokenizer.encode("ab")  # type: ignore[union-attr]
    again = load_model(str(folder))
    assert torch.equal(again.forward(INPUTS), from_file.forward(INPUTS))


@pytest.mark.parametrize("device", ["cuda:99", "mps:7", "xpu", "meta", "gpu", "cpu:x", 99])
def test_a_device_that_is_not_there_is_refused(device: Any) -> None:
    """Nothing falls back to another device in silence."""
    with pytest.raises(OptionError, match=r"^device=.* (is no device of this|holds no numbers)"):
        check_device(device)


def test_devices_that_are_there() -> None:
    assert check_device("cpu") == torch.device("cpu")
    assert check_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_model_that_is_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub id that is not in the cache, offline: one message with the way out."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OptionError) as error:
        load_model("nobody/no-such-model", revision="v2")
    message = str(error.value)
    assert message.startswith("pretrained=nobody/no-such-model (revision v2) cannot be loaded: ")
    assert (
        "Give a folder with config.json and weights, a .gguf file, or the id of a model" in message
    )


def test_files_and_folders_that_are_no_models_are_named(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"0")
    with pytest.raises(OptionError, match=r"weights\.bin is a file; expected a folder, a \.gguf"):
        load_model(str(tmp_path / "weights.bin"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError, match=r"pretrained=empty \(revision main\) cannot be loaded"):
        load_model(str(tmp_path / "empty"))
    (tmp_path / "bad.gguf").write_bytes(b"not a gguf file")
    with pytest.raises(CircuitError, match=r"bad\.gguf"):
        load_model(str(tmp_path / "bad.gguf"))
    with pytest.raises(CircuitError, match=r"missing\.gguf"):
        load_model(str(tmp_path / "missing.gguf"))


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [("gpt2", "its vocabulary holds special tokens only."), ("llama", "Couldn't instantiate")],
)
def test_a_model_without_a_tokenizer_is_named(
    architecture: str, reason: str, tmp_path: Path
) -> None:
    """Transformers makes an empty tokenizer for some architectures, which would read no prompt."""
    random_hf(architecture).save_pretrained(tmp_path / "bare")
    with pytest.raises(OptionError) as error:
        load_model(str(tmp_path / "bare"))
    assert f"bare has no usable tokenizer: {reason}" in str(error.value)


def test_encoder_decoder_models_are_refused(tmp_path: Path) -> None:
    config = T5Config(vocab_size=61, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4)
    hf = T5ForConditionalGeneration(config)
    text = "is an encoder-decoder model; circuits need a decoder-only one."
    with pytest.raises(UnsupportedModelError) as error:
        take_apart(hf)
    assert str(error.value) == f"T5ForConditionalGeneration {text}"
    hf.save_pretrained(tmp_path / "t5")
    with pytest.raises(UnsupportedModelError, match=f"t5 {text}"):
        load_model(str(tmp_path / "t5"))


def test_the_results_name_the_gguf_file_and_so_its_number_format(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.Q8_0.gguf")
    weights = model_facts(load_model(str(path)), str(path))["weights"]
    assert weights["gguf"] == "tiny.Q8_0.gguf"
