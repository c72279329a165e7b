"""Tiny models that read text in different ways, and tasks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.published_tokenizers import gpt2_tokenizer
from helpers.tiny_tasks import write_task
from helpers.tiny_tokenizer import save_tiny_model, word_tokenizer

from harness_circuits.harness.lm import CircuitLM

SMALL = {"method": "EAP", "sizes": "0.3:1", "device": "cpu"}
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'book\n' }}{% endif %}"
)


def reading_folder(folder: Path) -> Path:
    """Models `gpt2`, `bos` and `chat`, and tasks `animals` and TASK."""
    save_tiny_model(folder / "gpt2", "gpt2", gpt2_tokenizer())
    save_tiny_model(folder / "bos", "llama", word_tokenizer(bos=True))
    chat = word_tokenizer()
    chat.chat_template = TEMPLATE
    save_tiny_model(folder / "chat", "llama", chat)
    docs = [animals_doc(one, two) for one in ("dog", "cat") for two in ("shop", "tree", "house")]
    write_task(folder, train=docs, test=docs[:4], task="animals")
    write_task(folder)
    return folder


def animals_doc(animal: str, place: str) -> dict[str, Any]:
    """A pair of the task `animals`."""
    text = f"The {{}} went to the {place} and the"
    return {
        "clean": text.format(animal),
        "corrupted": text.format({"dog": "cat", "cat": "dog"}[animal]),
        "choices": [" red", " blue"],
        "correct": [0],
        "incorrect": [1],
    }


def circuit(folder: Path, model: str, **options: Any) -> CircuitLM:
    """`--model circuit` of one of the models."""
    return CircuitLM(pretrained=str(folder / model), **SMALL, **options)
