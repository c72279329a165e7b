"""A converted model counts only if its manifest names exactly its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.gguf_files import write_tiny_gguf

from harness_circuits.loading.default_model import MANIFEST, convert_gguf
from harness_circuits.machine.cache import CACHE_VARIABLE


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)
    return path


@pytest.mark.parametrize("also_gone", [False, True])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_manifest_that_leaves_files_out_counts_for_nothing(
    source: Path, name: str, also_gone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder = convert_gguf(source)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(whole[MANIFEST])
    del manifest["files"][name]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / name).unlink() if also_gone else (folder / name).write_bytes(b"planted")
    assert convert_gguf(source) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert "is damaged; replacing it" in caplog.text


def test_a_file_that_no_manifest_names_goes(source: Path) -> None:
    folder = convert_gguf(source)
    (folder / "chat_template.jinja").write_text("planted")
    assert convert_gguf(source) == folder
    assert not (folder / "chat_template.jinja").exists()
