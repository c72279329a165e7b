"""Induction (Olsson et al. 2022, arXiv 2209.11895): random words that occur again.

`sequence`: random words, and then the same words again up to one whose successor is to be
predicted. `bigram`: random words among which a bigram occurs once; its first word comes again at
the end. In the corrupted prompt the successor's first occurrence is another word, the incorrect
answer. Splits share no successor: words are shared otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from harness_circuits.task_data.base import SPLITS, TaskData, pools
from harness_circuits.task_data.marks import marked, with_spans

WORDS = (
    "apple river stone cloud green paper water house light music table chair garden window summer "
    "winter bread market bridge forest silver golden letter island family village mountain horse "
    "engine doctor school street number picture bottle butter camera candle castle circle coffee "
    "corner cotton desert dinner dragon finger flower friend guitar hammer harbor helmet kitchen "
    "ladder leather lemon library machine mirror monkey needle orange pencil pepper planet pocket "
    "rabbit ribbon rocket salad shadow shirt soldier spider spring square statue sugar temple "
    "theater thunder ticket tiger tower train tunnel turtle uncle valley velvet violin wagon wheel"
).split()
LENGTH = 12


def candidates(generator: random.Random, *, variant: str) -> Iterator[dict[str, Any]]:
    """Yield documents without end."""
    last_words = pools("induction_circuit", WORDS)
    while True:
        right, wrong = generator.sample(last_words[generator.choice(SPLITS)], 2)
        others = [word for word in WORDS if word not in (right, wrong)]
        words = generator.sample(others, LENGTH)
        at = generator.randrange(3, LENGTH - 1)
        again = words[:at] if variant == "sequence" else words[at - 1 : at]
        yield with_spans(
            {
                "key": right,
                "clean": prompt(words, at, right, again),
                "corrupted": prompt(words, at, wrong, again),
                "choices": [f" {right}", f" {wrong}"],
                "correct": [0],
                "incorrect": [1],
            }
        )


def prompt(words: list[str], at: int, successor: str, again: list[str]) -> str:
    """The words with one of them replaced, and what comes again."""
    before, *others = words[at - 1], marked("successor", successor), *words[at + 1 :]
    *repeated, last = again
    start = [*words[: at - 1], marked("before", before), *others]
    return " ".join([*start, *repeated, marked("again", last)])


dataset = TaskData(
    "induction_circuit",
    candidates,
    options={"variant": ("sequence", "bigram")},
    one_phrasing=True,
)
