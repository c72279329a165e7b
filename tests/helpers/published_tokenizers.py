"""Small tokenizers of the kinds that published models have, trained on the spot."""

from __future__ import annotations

import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast

WORDS = (
    "The the dog cat is red blue green shop house tree river one two three Anna Ben went to and in "
    "do 1776 17"
).split()
TEXT = [" ".join(WORDS), *WORDS, *(f" {word}" for word in WORDS)] * 20


def gpt2_tokenizer() -> GPT2Tokenizer:
    """Byte-level pairs of class GPT2Tokenizer, which adds a first token only when it is asked to."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<|end|>"], initial_alphabet=alphabet
    )
    raw.train_from_iterator(TEXT, trainer)
    state = json.loads(raw.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split()) for m in state["merges"]]
    end = {f"{kind}_token": "<|end|>" for kind in ("bos", "eos", "unk", "pad")}
    return GPT2Tokenizer(vocab=state["vocab"], merges=merges, model_max_length=64, **end)


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """A mark before the first word, and `<s>` before that, as Llama 2's and Mistral's."""
    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    raw.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first")
    special = ["<s>", "</s>", "<unk>", *(f"<0x{i:02X}>" for i in range(256))]
    raw.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=600, special_tokens=special))
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="</s>",
    )
