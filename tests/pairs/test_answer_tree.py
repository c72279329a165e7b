"""Answers as a tree: what begins alike is run once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.tiny_models import ARCHITECTURES, VOCABULARY, tiny_model, token_pairs
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.models.circuit_model import Inputs
from harness_circuits.pairs.answer_tree import answer_tree
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.tokenise import TokenPair

tokens = st.integers(0, 4)
answer_sets = st.lists(st.lists(tokens, min_size=1, max_size=4).map(tuple), min_size=2, max_size=5)


def token_pair(
    n_prompt: int = 3, answers: tuple[tuple[int, ...], ...] = ((1,), (2,)), index: int = 0
) -> TokenPair:
    clean = tuple(range(n_prompt))
    return TokenPair(clean, (*clean[:-1], 9), answers, (0,), (1,), index)


@given(answer_sets)
def test_a_tree_holds_every_proper_prefix_once(answers: list[tuple[int, ...]]) -> None:
    tree = answer_tree(answers)
    prefixes = {answer[:end] for answer in answers for end in range(1, len(answer))}

    def spelled(node: int) -> tuple[int, ...]:
        above = tree.parents[node]
        return (*(spelled(above) if above >= 0 else ()), tree.tokens[node])

    assert sorted(spelled(node) for node in range(len(tree.tokens))) == sorted(prefixes)
    assert all(parent < node for node, parent in enumerate(tree.parents))
    for answer, path in zip(answers, tree.paths, strict=True):
        assert tuple(token for _, token in path) == answer
        read = [() if at == 0 else spelled(at - 1) for at, _ in path]
        assert read == [answer[:end] for end in range(len(answer))]


def test_first_tokens_only_need_nothing_behind_the_prompt() -> None:
    pairs = [token_pair(3, ((1, 2), (2, 3, 4))), token_pair(3, ((3,), (4, 4)), 1)]
    (batch,) = make_batches(pairs, 8, whole_answers=False)
    assert batch.clean.ids.shape == (2, 3)
    assert batch.clean.positions is None and batch.clean.mask is None
    assert batch.answers.tokens.squeeze(-1).tolist() == [[1, 2], [3, 4]]
    assert len(make_batches(pairs, 8)) == 2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("length", [2, 6])
def test_tree_reads_equal_separate_runs(architecture: str, length: int) -> None:
    """Prompts of 6 tokens are longer than the sliding windows of the tiny models."""
    model = tiny_model(architecture)
    answers = ((5, 6, 7), (5, 8, 4), (9, 3), (2,), (5, 6, 4, 3))  # branches at two depths
    pairs = [replace(one, answers=answers) for one in token_pairs(2, length)]
    (batch,) = make_batches(pairs, 8)
    logits = model.forward(batch.clean)
    assert logits.shape == (2, 1 + len(answer_tree(answers).tokens), VOCABULARY)
    for row, one in enumerate(pairs):
        for choice, answer in enumerate(answers):
            ids = torch.tensor([[*one.clean, *answer[:-1]]])
            reads = torch.arange(length - 1, length - 1 + len(answer))
            alone = model.forward(Inputs(ids, reads))[0]
            found = logits[row, batch.answers.reads[row, choice, : len(answer)]]
            torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
