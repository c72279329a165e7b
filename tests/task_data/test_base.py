"""Splits of circuit tasks: disjoint, deterministic, fitted to the tokenizer, and reported."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.built import built
from helpers.documents import data, doc, keyed
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.task_data.base import SPLITS, TaskData, pools, split_of

WORDS = [f"w{n}" for n in range(60)]


def endless(generator: random.Random) -> Iterator[dict[str, Any]]:
    while True:
        word, other = generator.sample(WORDS, 2)
        yield doc(word, f"The {word}", f"The {other}") | {"word": word}


def test_splits_share_no_key_and_have_the_sizes_asked_for() -> None:
    splits = TaskData("endless", endless)(n_train=30, n_validation=0, n_test=20)
    assert {name: len(rows) for name, rows in splits.items()} == {
        "train": 30,
        "validation": 0,
        "test": 20,
    }
    assert set(splits["train"]["word"]) & set(splits["test"]["word"]) == set()
    assert "key" not in splits["train"].column_names


def test_no_pair_occurs_twice() -> None:
    rows = TaskData("endless", endless)(n_train=100)["train"]
    assert len({(row["clean"], row["corrupted"]) for row in rows}) == 100


def test_the_seed_decides_and_nothing_else() -> None:
    build = TaskData("endless", endless)
    random.seed(1)
    first = build(n_train=20)["train"].to_list()
    random.seed(2)
    assert build(n_train=20)["train"].to_list() == first
    assert build(n_train=20, data_seed=0)["train"].to_list() == first
    assert build(n_train=20, data_seed=1)["train"].to_list() != first
    assert build(n_train=8)["train"].to_list() == first[:8]


@given(st.lists(st.text(max_size=5), unique=True), st.text(max_size=5))
def test_pools_are_a_partition_by_key(items: list[str], task: str) -> None:
    found = pools(task, items)
    assert sorted(item for pool in found.values() for item in pool) == sorted(items)
    assert all(split_of(task, item) == split for split in SPLITS for item in found[split])


def test_a_third_of_the_keys_each() -> None:
    sizes = [len(pool) for pool in pools("task", map(str, range(3000))).values()]
    assert all(900 < size < 1100 for size in sizes)


def test_an_empty_split_is_an_error_that_says_why() -> None:
    docs = [doc(key, "The cat", "The red dog") for key in keyed("train", 2)]
    with pytest.raises(TaskDataError) as error:
        built(data(docs), n_test=0)
    assert str(error.value) == (
        "fixed has no train pairs for this model's tokenizer; all candidates were left out "
        "(1 clean and corrupted differ in token length). For example: fixed, pair 0: clean has 2 "
        "tokens, corrupted has 3 (first difference at token 1: ' cat' / ' red'). Position-wise "
        "patching needs equal lengths: use words with the same number of tokens, or leave the pair "
        "out."
    )
    with pytest.raises(TaskDataError, match="there were none"):
        built(data([]))


def test_an_endless_source_that_never_fits_ends() -> None:
    def misaligned(generator: random.Random) -> Iterator[dict[str, Any]]:
        number = 0
        while True:
            number += 1
            yield doc(str(number), f"The cat {number}", "The red big dog in")

    with pytest.raises(TaskDataError, match="no train and no test"):
        built(TaskData("never", misaligned), n_train=1, n_validation=0, n_test=1)


@pytest.mark.parametrize("value", [-1, 2.5, "many", True])
def test_a_number_of_pairs_is_a_whole_number(value: Any) -> None:
    with pytest.raises(OptionError, match="n_train is a whole number from 0 to 1000000, got"):
        TaskData("endless", endless)(n_train=value)


def test_options_reach_the_candidates_and_unknown_values_are_refused() -> None:
    def optional(generator: random.Random, *, variant: str) -> Iterator[dict[str, Any]]:
        for made in endless(generator):
            yield made | {"variant": variant}

    build = TaskData("optional", optional, {"variant": ("double", "triple")})
    assert set(build(n_train=3)["train"]["variant"]) == {"double"}
    assert set(build(n_train=3, variant="triple")["train"]["variant"]) == {"triple"}
    with pytest.raises(OptionError) as error:
        build(variant="tripel")
    assert str(error.value) == (
        "Unknown variant of task optional 'tripel'. Did you mean 'triple'? Known: double, triple."
    )
