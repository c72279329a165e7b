"""The tests' own tokenizer and model folder behave like real ones."""

from pathlib import Path

import pytest
import torch
from helpers.tiny_models import random_hf
from helpers.tiny_tokenizer import END, WORDS, save_tiny_model, word_tokenizer

from harness_circuits.loading.load import load_model


def test_words_round_trip_with_their_leading_space() -> None:
    tokenizer = word_tokenizer()
    text = "When Mary and John went to the store, John gave a book to Mary."
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids[1:2]) == " Mary"
    assert len(tokenizer.encode(" Mary")) == len(tokenizer.encode("Mary")) == 1
    assert tokenizer.encode("Zebra") == [tokenizer.unk_token_id]


def test_bos_is_optional() -> None:
    plain, with_bos = word_tokenizer(), word_tokenizer(bos=True)
    assert with_bos.encode("The war") == [0, *plain.encode("The war")]
    assert with_bos.convert_ids_to_tokens(0) == END


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_saved_model_loads_by_its_folder(tmp_path: Path, architecture: str) -> None:
    tokenizer = word_tokenizer(WORDS)
    folder = save_tiny_model(tmp_path / "tiny", architecture, tokenizer, seed=3)
    model = load_model(str(folder), device="cpu")
    assert model.name == "tiny"
    assert model.tokenizer is not None
    assert model.tokenizer.encode("The cat") == tokenizer.encode("The cat")
    ids = torch.tensor([tokenizer.encode("The cat was in the bag")])
    fresh = random_hf(architecture, seed=3, vocab_size=len(tokenizer))
    with torch.no_grad():
        torch.testing.assert_close(model.hf(ids).logits, fresh(ids).logits, atol=1e-5, rtol=1e-5)
