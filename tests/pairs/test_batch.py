"""Batches: every pair in one of them, whole where that is asked for, nothing padded that is run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.tiny_models import tiny_model
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.pairs.batch import Batch, make_batches, whole_batches
from harness_circuits.pairs.tokenise import TokenPair

tokens = st.integers(0, 4)
answer_sets = st.lists(st.lists(tokens, min_size=1, max_size=4).map(tuple), min_size=2, max_size=5)
prompts = st.integers(2, 14).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1)))
rows = st.lists(st.tuples(prompts, answer_sets), min_size=1, max_size=9)


def token_pair(n_prompt: int, start: int, answers: Any, index: int) -> TokenPair:
    """A pair whose prompts have tokens of their own, and differ from `start` on."""
    clean = tuple(range(10, 10 + n_prompt))
    corrupted = (*clean[:start], *(token + 50 for token in clean[start:]))
    return TokenPair(clean, corrupted, tuple(answers), (0,), (1,), index)


def check(batch: Batch, pairs: list[TokenPair]) -> None:
    """Every row is its pair, from the first token that is no pad."""
    for row, index in enumerate(batch.indices):
        one, pad = pairs[index], 0 if batch.pads is None else int(batch.pads[row])
        assert pad + len(one.clean) == batch.n_prompt
        assert pad <= batch.shared <= pad + one.first_difference
        for inputs, prompt in ((batch.clean, one.clean), (batch.corrupted, one.corrupted)):
            assert tuple(inputs.ids[row, pad : batch.n_prompt].tolist()) == prompt
            assert not inputs.ids[row, :pad].any() and inputs.padded == (batch.pads is not None)
        found = [
            tuple(ids[there].tolist())
            for ids, there in zip(batch.answers.tokens[row], batch.answers.real[row], strict=True)
            if there.any()
        ]
        assert tuple(found) == one.answers
        assert batch.answers.correct[row].nonzero().flatten().tolist() == list(one.correct)
        assert batch.answers.incorrect[row].nonzero().flatten().tolist() == list(one.incorrect)
        assert torch.equal(
            batch.clean.ids[row, batch.n_prompt :], batch.corrupted.ids[row, batch.n_prompt :]
        )


@given(rows, st.integers(1, 4), st.booleans())
def test_batches_partition_the_pairs(found: list[Any], size: int, share: bool) -> None:
    pairs = [token_pair(*prompt, answers, at) for at, (prompt, answers) in enumerate(found)]
    batches = make_batches(pairs, size, share_prefix=share)
    assert sorted(i for batch in batches for i in batch.indices) == list(range(len(pairs)))
    for batch in batches:
        assert 1 <= len(batch) <= size and (share or batch.shared == 0)
        assert batch.pads is None or batch.pads.any()
        check(batch, pairs)


@given(rows, st.integers(1, 9))
def test_whole_batches_are_those_of_one_length(found: list[Any], size: int) -> None:
    pairs = [token_pair(*prompt, answers, at) for at, (prompt, answers) in enumerate(found)]
    batches = make_batches(pairs, size)
    whole = whole_batches(batches)
    assert sorted(i for batch in whole for i in batch.indices) == list(range(len(pairs)))
    for batch in whole:
        assert batch.pads is None
        check(batch, pairs)
        # Inputs of a batch that was made for these pairs alone.
        (alone,) = make_batches([pairs[i] for i in batch.indices], len(batch), share_prefix=False)
        for name in ("ids", "reads", "positions", "mask"):
            ours, expected = (getattr(one.clean, name) for one in (batch, alone))
            assert (ours is None) == (expected is None)
            assert ours is None or torch.equal(ours, expected)


def test_batches_are_as_few_as_their_lengths_allow() -> None:
    lengths = [3, 4, 3, 3, 4, 3]
    pairs = [token_pair(n, 0, ((1,), (2,)), index) for index, n in enumerate(lengths)]
    found = [(batch.n_prompt, batch.indices) for batch in make_batches(pairs, 3)]
    assert found == [(3, (0, 2, 3)), (3, (5,)), (4, (1, 4))]


def test_prompts_of_different_lengths_are_not_run_as_they_are() -> None:
    pairs = [token_pair(n, n - 2, ((1,), (2,)), index) for index, n in enumerate([6, 7])]
    (batch,) = make_batches(pairs, 2)
    with pytest.raises(AssertionError, match="run behind what they share"):
        tiny_model("gpt2").forward(batch.clean)
