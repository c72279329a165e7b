"""For which model data are built."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.tiny_tokenizer import save_tiny_model, word_tokenizer

from harness_circuits.task_data.scorer import Scorer


def test_another_model_is_the_one_that_the_metadata_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert Scorer.named({}) == Scorer(None, ours=False)
    named = str(save_tiny_model(tmp_path / "model", tokenizer=word_tokenizer(["only", "these"])))
    found = Scorer.named({"pretrained": named, "add_bos_token": False, "max_length": 5})
    assert found.reader is not None and not found.ours
    assert len(found.reader.tokenizer) == len(word_tokenizer(["only", "these"]))
    assert (found.reader.add_bos_token, found.reader.max_length) == (False, 5)
    missing = str(tmp_path / "missing")
    assert Scorer.named({"pretrained": missing}) == Scorer(None, ours=False)
    assert "No tokenizer to align pairs with" in caplog.text
