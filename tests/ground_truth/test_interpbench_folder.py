"""A folder of InterpBench's: checked, converted once, its edges ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.interpbench_files import (
    write_case,
)

from harness_circuits.errors import CircuitFileError
from harness_circuits.ground_truth.interpbench_folder import converted_case
from harness_circuits.loading.load import load_model
from harness_circuits.machine.cache import CACHE_VARIABLE


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


class Touch:
    """Pickles as a call that makes a file, if anything unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_weights_are_checked_and_never_unpickled(tmp_path: Path) -> None:
    folder, _ = write_case(tmp_path / "case")
    torch.save({"embed.W_E": torch.zeros(5, 12)}, folder / "ll_model.pth")
    with pytest.raises(CircuitFileError, match=r"embed\.W_E is of shape \(5, 12\).*\(6, 12\)"):
        converted_case(folder)
    torch.save({}, folder / "ll_model.pth")
    with pytest.raises(CircuitFileError, match=r"embed\.W_E is missing"):
        converted_case(folder)
    torch.save([torch.zeros(2)], folder / "ll_model.pth")
    with pytest.raises(CircuitFileError, match="more than tensors by name"):
        converted_case(folder)
    torch.save({"x": Touch(tmp_path / "made")}, folder / "ll_model.pth")
    with pytest.raises(CircuitFileError, match="cannot be read as tensors"):
        converted_case(folder)
    assert not (tmp_path / "made").exists()


def test_words_can_be_given_and_are_checked(tmp_path: Path) -> None:
    folder, _ = write_case(tmp_path / "case")
    words = {"input": ["BOS", "PAD", *"abcd"], "output": ["A", "B", "C"]}
    (folder / "vocabulary.json").write_text(json.dumps(words))
    tokenizer = load_model(str(folder), device="cpu").tokenizer
    assert tokenizer.encode("BOS a b C") == [0, 2, 3, 8]
    for wrong in ({**words, "output": ["A", "B"]}, {**words, "output": ["a", "B", "C"]}):
        (folder / "vocabulary.json").write_text(json.dumps(wrong))
        with pytest.raises(CircuitFileError, match="6 input tokens and 3 answers of their own"):
            converted_case(folder)
    (folder / "vocabulary.json").write_text("[")
    with pytest.raises(CircuitFileError, match="is not JSON of the form"):
        converted_case(folder)
