"""Which weights a folder holds."""

from __future__ import annotations

import json
from pathlib import Path

from harness_circuits.loading.default_model import MANIFEST
from harness_circuits.loading.fingerprint import folder_fingerprint, weights_fingerprint


def test_other_weights_have_other_hashes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(bytes(3 << 20))
    before = weights_fingerprint(tmp_path)
    assert before == folder_fingerprint(tmp_path) == weights_fingerprint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(bytes((3 << 20) - 1) + b"x")
    assert weights_fingerprint(tmp_path) != before


def test_a_converted_file_is_itself_whatever_converted_it(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"source_sha256": "ab" * 32}))
    for version in ("1", "2"):
        (tmp_path / "config.json").write_text(json.dumps({"transformers_version": version}))
        assert weights_fingerprint(tmp_path) == "ab" * 8
    (tmp_path / MANIFEST).write_text("[")
    assert weights_fingerprint(tmp_path) == folder_fingerprint(tmp_path)
