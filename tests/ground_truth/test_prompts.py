"""Examples of the hand-written models' tasks: each answer is the rule's, and corruptions change it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from harness_circuits.ground_truth import prompts

RULES: list[tuple[Callable[[random.Random], prompts.Example], Callable[[Sequence[str]], str]]] = [
    (prompts.induction_example, prompts.induction_answer),
    (prompts.reverse_example, prompts.reverse_answer),
    (prompts.fraction_example, prompts.fraction_answer),
    (prompts.inhibition_example, prompts.first_word),
    (prompts.backup_example, prompts.first_word),
]


@pytest.mark.parametrize(("example", "rule"), RULES)
def test_answers_follow_from_the_prompt(
    example: Callable[[random.Random], prompts.Example], rule: Callable[[Sequence[str]], str]
) -> None:
    generator = random.Random(0)
    for _ in range(200):
        clean, corrupted, answer, other = example(generator)
        assert len(clean) == len(corrupted) and clean != corrupted
        assert rule(clean) == answer != other
        assert rule(corrupted) != answer
        assert {*clean, *corrupted, answer, other} <= set(prompts.VOCABULARY)


def test_a_silent_prompt_has_no_first_word_to_copy() -> None:
    for seed in range(50):
        clean, corrupted, answer, other = prompts.silent_example(random.Random(seed))
        assert clean[0] == answer and corrupted[0] == "?" and clean[1:] == corrupted[1:]
        assert other not in clean
