"""A word tokenizer made in memory, and folders with a tiny random model and that tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from helpers.tiny_models import random_hf
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

END, UNKNOWN = "<end>", "<unk>"
PUNCTUATION = (".", ",", ":", ";", "?", "!", "'", "\n", " ")
TEXT = """
When Mary and John Anna Tom went to the store gave a drink bag book said that is was in of
The war lasted from year A B C D one two three red blue green cat dog cats dogs
"""
WORDS = tuple(TEXT.split())


def word_tokenizer(words: Iterable[str] = WORDS, *, bos: bool = False) -> PreTrainedTokenizerFast:
    """One token per word, once without and once with a leading space, and per punctuation mark.

    The token `<end>` (id 0) is beginning, end and padding; other words are `<unk>` (id 1).

    Args:
        words: Runs of letters and digits; their order, without repetitions, gives the ids.
        bos: Whether every encoding begins with `<end>`, as Llama's and Gemma's do.
    """
    texts = [END, UNKNOWN, *PUNCTUATION]
    for word in dict.fromkeys(words):
        texts += [word, f" {word}"]
    ids = {text: index for index, text in enumerate(texts)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = Split(Regex(r" ?\w+|[^\w\s]|\s"), behavior="isolated")
    tokenizer.decoder = Fuse()
    if bos:
        tokenizer.post_processor = TemplateProcessing(
            single=f"{END} $A", pair=f"{END} $A $B", special_tokens=[(END, 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        model_max_length=64,
        clean_up_tokenization_spaces=False,
    )


def save_tiny_model(
    folder: str | Path,
    architecture: str = "gpt2",
    tokenizer: PreTrainedTokenizerFast | None = None,
    *,
    seed: int = 0,
    **changes: Any,
) -> Path:
    """Write a random model whose vocabulary is the tokenizer's, ready for `pretrained=FOLDER`.

    Args:
        folder: Where to write; made if it is not there.
        architecture: One of `tiny_models.ARCHITECTURES`.
        tokenizer: By default `word_tokenizer()`.
        seed: Seed of the weights.
        **changes: Changes of the tiny configuration.
    """
    tokenizer = word_tokenizer() if tokenizer is None else tokenizer
    model = random_hf(architecture, seed=seed, vocab_size=len(tokenizer), **changes)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)
