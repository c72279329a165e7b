"""How a model reads text: the first token, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.reading_models import reading_folder
from helpers.tiny_tokenizer import word_tokenizer

import harness_circuits as hc
from harness_circuits.errors import OptionError
from harness_circuits.models.text_reader import TextReader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_folder(tmp_path_factory.mktemp("reading"))


def test_a_prompt_that_begins_with_the_first_token_gets_no_second() -> None:
    reader = TextReader(word_tokenizer()).with_first_token()
    assert reader.encode("The cat")[0] == 0
    assert reader.encode("<end>The cat") == reader.encode("The cat")
    bare = word_tokenizer()
    bare.bos_token = None
    assert TextReader(bare).with_first_token().encode("The cat")[0] == bare.eos_token_id
    assert TextReader(bare, prefix_token_id=5).with_first_token().encode("The")[0] == 5


def test_a_first_token_is_one_of_the_models(folder: Path) -> None:
    message = r"prefix_token_id=1000000: the model has tokens 0 to \d+\."
    with pytest.raises(OptionError, match=message):
        hc.load_model(str(folder / "gpt2"), device="cpu", prefix_token_id=1_000_000)


def test_python_has_the_first_token_too(folder: Path) -> None:
    model = hc.load_model(str(folder / "gpt2"), device="cpu", add_bos_token=True)
    assert model.reader is not None and model.reader.first_token() == {
        "ids": [0],
        "text": "<|end|>",
    }
