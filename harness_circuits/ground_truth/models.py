"""The hand-written models: what they do, their weights, their true circuits, their pairs.

The true circuit holds every edge through which something flows that a prompt's tokens decide, on a
path from the input to the logits. Edges that carry positions only (with which a head finds the
previous token, for example) are not in it: no corrupted prompt of the same length changes them.
The remaining heads copy tokens to where nothing reads them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from harness_circuits.ground_truth.builder import SHARPNESS, Builder, one_to, shift
from harness_circuits.ground_truth.prompts import (
    KNOWN,
    LETTERS,
    VOCABULARY,
    Example,
    backup_example,
    first_word,
    fraction_answer,
    fraction_example,
    induction_answer,
    induction_example,
    inhibition_example,
    reverse_answer,
    reverse_example,
)

ID = {word: number for number, word in enumerate(VOCABULARY)}
N_POSITIONS = 12
N_WORDS = len(VOCABULARY)


@dataclass(frozen=True)
class GroundTruth:
    """A model whose circuit is known.

    Attributes:
        name: What follows `ground-truth:`.
        build: Makes the model.
        edges: Its true circuit.
        example: Draws clean and corrupted words, the answer to the clean ones, and another answer.
        answer: What the model has to answer to words, by the definition of its task.
    """

    name: str
    build: Callable[[], GPT2LMHeadModel]
    edges: tuple[str, ...]
    example: Callable[[random.Random], Example]
    answer: Callable[[Sequence[str]], str]

    def documents(self, n: int, seed: int = 0) -> Iterator[dict[str, Any]]:
        """Yield documents with the fields of `Pair` and a `key`."""
        generator = random.Random(f"{self.name}/{seed}")
        for _ in range(n):
            clean, corrupted, right, wrong = self.example(generator)
            yield {
                "key": " ".join(clean),
                "clean": " ".join(clean),
                "corrupted": " ".join(corrupted),
                "choices": [f" {right}", f" {wrong}"],
                "correct": [0],
                "incorrect": [1],
            }


def _start(**features: int) -> Builder:
    widths = {"out": N_WORDS, "scratch": N_WORDS, **features}
    builder = Builder(VOCABULARY, N_POSITIONS, widths)
    for token in range(N_WORDS):
        builder.unembed(token, "out", token)
    return builder


def _idle(builder: Builder, *heads: tuple[int, int]) -> GPT2LMHeadModel:
    """Let heads copy the previous token to where nothing reads it."""
    for layer, head in heads:
        builder.head(layer, head, **_previous(), value=("token", _same()), out="scratch")
    return builder.model


def _same(scale: float = 1.0, size: int = N_WORDS) -> torch.Tensor:
    return torch.eye(size) * scale


def _previous() -> dict[str, Any]:
    return {
        "queries": [("position", shift(N_POSITIONS, -1, SHARPNESS))],
        "keys": [("position", _same(size=N_POSITIONS))],
    }


def _at(position: int, entries: int = 1, entry: int = 0) -> torch.Tensor:
    table = torch.zeros(N_POSITIONS, entries)
    table[position, entry] = 1.0
    return table


def _only(letters: Sequence[str]) -> torch.Tensor:
    """The token if it is one of some letters, else nothing."""
    return torch.diag(torch.tensor([float(word in letters) for word in VOCABULARY]))


def induction() -> GPT2LMHeadModel:
    """`a b c d a` is continued by `b`: a previous-token head and an induction head."""
    builder = _start(previous=N_WORDS)
    builder.head(0, 0, **_previous(), value=("token", _same()), out="previous")
    builder.head(
        1,
        0,
        queries=[("token", _same(SHARPNESS))],
        keys=[("previous", _same())],
        value=("token", _same()),
        out="out",
    )
    return _idle(builder, (0, 1), (1, 1))


def reverse() -> GPT2LMHeadModel:
    """`a b c R c` is continued by `b`: a head finds R, an MLP computes where to look, a head copies."""
    builder = _start(mark=N_POSITIONS, target=N_POSITIONS)
    builder.head(
        0,
        0,
        queries=[("one", one_to(1, scale=SHARPNESS))],
        keys=[("token", _indicator("R"))],
        value=("position", _same(size=N_POSITIONS)),
        out="mark",
    )
    neurons = [
        ({("mark", mark): 1.0, ("position", now): 1.0}, -1.0, ("target", 2 * mark - 1 - now))
        for mark in range(2, N_POSITIONS)
        for now in range(mark, min(2 * mark - 1, N_POSITIONS))
    ]
    builder.mlp(0, neurons)
    builder.head(
        1,
        0,
        queries=[("target", _same(SHARPNESS, N_POSITIONS))],
        keys=[("position", _same(size=N_POSITIONS))],
        value=("token", _same()),
        out="out",
    )
    return _idle(builder, (0, 1), (1, 1))


def _indicator(word: str) -> torch.Tensor:
    table = torch.zeros(N_WORDS, 1)
    table[ID[word], 0] = 1.0
    return table


def fraction() -> GPT2LMHeadModel:
    """Is the share of `x` so far above one half? An MLP marks `x`, a head averages, as in Tracr."""
    builder = _start(is_x=1, share=1)
    builder.mlp(0, [({("token", ID["x"]): 1.0}, 0.0, ("is_x", 0))])
    builder.head(1, 0, value=("is_x", torch.ones(1, 1)), out="share")
    builder.unembed(ID["more"], "share", 0, 10.0)
    builder.unembed(ID["less"], "one", 0, 5.0)
    return _idle(builder, (0, 0), (0, 1), (1, 1))


def _copier(builder: Builder, letters: Sequence[str] = LETTERS) -> None:
    """Head 0.0 copies the first word, if it is one of some letters."""
    builder.head(
        0,
        0,
        queries=[("one", one_to(1, scale=SHARPNESS))],
        keys=[("position", _at(1))],
        value=("token", _only(letters)),
        out="out",
    )


def backup() -> GPT2LMHeadModel:
    """The first word is repeated by head 0.0, or by head 1.0 where head 0.0 wrote nothing.

    Head 0.0 knows half of the letters, and head 1.0 all of them.
    """
    builder = _start()
    _copier(builder, KNOWN)
    builder.head(
        1,
        0,
        queries=[
            ("out", one_to(2, N_WORDS, 6 * SHARPNESS, at=0)),  # its gradient underflows in float32
            ("one", one_to(2, 1, 3 * SHARPNESS, at=1)),
        ],
        keys=[("position", _at(0, 2, 0) + _at(1, 2, 1))],
        value=("token", _only(LETTERS)),
        out="out",
    )
    return _idle(builder, (0, 1), (1, 1))


def inhibition() -> GPT2LMHeadModel:
    """The first word is repeated by head 0.0; head 1.0 subtracts half of it."""
    builder = _start()
    _copier(builder)
    builder.head(
        1,
        0,
        queries=[("position", _same(SHARPNESS, N_POSITIONS))],
        keys=[("position", _same(size=N_POSITIONS))],
        value=("out", _same(-0.5)),
        out="out",
    )
    return _idle(builder, (0, 1), (1, 1))


GROUND_TRUTH = {
    model.name: model
    for model in (
        GroundTruth(
            "induction",
            induction,
            (
                "input->a0.h0<v>",
                "a0.h0->a1.h0<k>",
                "input->a1.h0<q>",
                "input->a1.h0<v>",
                "a1.h0->logits",
            ),
            induction_example,
            induction_answer,
        ),
        GroundTruth(
            "reverse",
            reverse,
            (
                "input->a0.h0<k>",
                "a0.h0->m0",
                "m0->a1.h0<q>",
                "input->a1.h0<v>",
                "a1.h0->logits",
            ),
            reverse_example,
            reverse_answer,
        ),
        GroundTruth(
            "fraction",
            fraction,
            ("input->m0", "m0->a1.h0<v>", "a1.h0->logits"),
            fraction_example,
            fraction_answer,
        ),
        GroundTruth(
            "backup",
            backup,
            (
                "input->a0.h0<v>",
                "a0.h0->logits",
                "a0.h0->a1.h0<q>",
                "input->a1.h0<v>",
                "a1.h0->logits",
            ),
            backup_example,
            first_word,
        ),
        GroundTruth(
            "inhibition",
            inhibition,
            ("input->a0.h0<v>", "a0.h0->logits", "a0.h0->a1.h0<v>", "a1.h0->logits"),
            inhibition_example,
            first_word,
        ),
    )
}
