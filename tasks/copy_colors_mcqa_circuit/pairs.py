"""Multiple choice by copying a color (as in Wiegreffe et al. 2024, arXiv 2407.15018, and MIB).

A color is stated, then asked for, with lettered options; the answer is the letter. The corrupted
prompt has the right color at another letter (`answer-position`), or other letters (`symbols`).
Incorrect are the other letters. In the layout `color-first` options read "brown = A", which small
models can do; in `letter-first` "A. brown", as in MIB. Sentences and lists are our own.

Splits share no combination of a noun with a color.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import TaskData
from harness_circuits.task_data.marks import marked, with_spans

COLORS = "red blue green yellow purple orange pink brown black white gray".split()
NOUNS = (
    "box car ball hat door chair cup book shirt lamp bag coat boat bird flower house bottle pencil "
    "table truck phone horse apple shoe"
).split()
LETTERS, OTHER_LETTERS = "ABCD", "WXYZ"


def candidates(
    generator: random.Random, *, corruption: str, layout: str
) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    while True:
        noun, colors = generator.choice(NOUNS), generator.sample(COLORS, 4)
        right, moved = generator.sample(range(4), 2)
        changed, letters = list(colors), LETTERS
        if corruption == "answer-position":
            changed[right], changed[moved] = colors[moved], colors[right]
        else:
            letters = OTHER_LETTERS
        yield with_spans(
            {
                "key": f"{noun}/{colors[right]}",
                "clean": question(layout, noun, colors[right], colors, LETTERS),
                "corrupted": question(layout, noun, colors[right], changed, letters),
                "choices": [f" {letter}" for letter in LETTERS],
                "correct": [right],
                "incorrect": [n for n in range(4) if n != right],
            }
        )


def question(layout: str, noun: str, color: str, colors: list[str], letters: str) -> str:
    """The statement, the question and its options."""
    stated = marked("color", color)
    start = f"Question: The {noun} is {stated}. What color is the {noun}?\n"
    options = [
        (marked(f"letter{n}", letter), marked(f"option{n}", c))
        for n, (letter, c) in enumerate(zip(letters, colors, strict=True), 1)
    ]
    if layout == "letter-first":
        return start + "\n".join(f"{letter}. {c}" for letter, c in options) + "\nAnswer:"
    again = marked("again", color)
    return start + "\n".join(f"{c} = {letter}" for letter, c in options) + f"\nAnswer: {again} ="


dataset = TaskData(
    "copy_colors_mcqa_circuit",
    candidates,
    options={
        "corruption": ("answer-position", "symbols"),
        "layout": ("color-first", "letter-first"),
    },
    one_phrasing=True,
)
