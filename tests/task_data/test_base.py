"""Splits of circuit tasks: disjoint, deterministic, fitted to the tokenizer, and reported."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.built import built
from helpers.tiny_tokenizer import save_tiny_model, word_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.errors import OptionError, PairError, TaskDataError
from harness_circuits.task_data.base import SPLITS, TaskData, pools, split_of
from harness_circuits.task_data.scorer import Scorer

WORDS = [f"w{n}" for n in range(60)]


def doc(key: str, clean: str, corrupted: str, choices: tuple[str, ...] = (" A", " B")) -> dict:
    return {
        "key": key,
        "clean": clean,
        "corrupted": corrupted,
        "choices": list(choices),
        "correct": [0],
        "incorrect": list(range(1, len(choices))),
    }


def endless(generator: random.Random) -> Iterator[dict[str, Any]]:
    while True:
        word, other = generator.sample(WORDS, 2)
        yield doc(word, f"The {word}", f"The {other}") | {"word": word}


def data(docs: list[dict[str, Any]], name: str = "fixed") -> TaskData:
    return TaskData(name, lambda generator: iter(docs))


def keyed(split: str, n: int, task: str = "fixed") -> list[str]:
    """The first n keys that belong to a split."""
    keys = (key for key in (f"k{i}" for i in range(1000)) if split_of(task, key) == split)
    return [next(keys) for _ in range(n)]


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


def test_what_does_not_align_is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    train, test = keyed("train", 5), keyed("test", 1)
    docs = [
        doc(train[0], "The cat", "The dog"),
        doc(train[1], "The cat", "The red dog"),
        doc(train[2], "The one", "The one two"),
        doc(train[3], "The unheard", "The unseen"),  # <unk> both
        doc(train[4], "The dogs", "The cats", (" A B", " A C")),
        doc(test[0], "The two", "The three"),
    ]
    source = data(docs)
    with caplog.at_level(logging.INFO, logger="lm_eval.circuit"):
        splits = built(source)
    assert splits["train"]["clean"] == ["The cat"]
    assert splits["test"]["clean"] == ["The two"]
    counts = {
        "answers share their first token": 1,
        "clean and corrupted are the same": 1,
        "clean and corrupted differ in token length": 2,
    }
    assert source.left_out == counts
    assert "1 train, 0 validation, 1 test pairs" in caplog.text
    assert "2 clean and corrupted differ in token length" in caplog.text
    assert "fewer pairs than asked for in train, validation, test" in caplog.text


def test_a_metric_of_whole_answers_keeps_a_shared_first_token() -> None:
    docs = [
        doc(keyed(split, 1)[0], "The dogs", f"The {other}", (" A B", " A C"))
        for split, other in (("train", "cats"), ("test", "cat"))
    ]
    assert len(built(data(docs), task_metric="prob_diff")["train"]) == 1
    with pytest.raises(TaskDataError, match="no train and no test pairs"):
        built(data(docs))


def test_a_malformed_candidate_is_an_error_and_not_left_out() -> None:
    broken = doc(keyed("train", 1)[0], "The cat", "The dog") | {"incorrect": []}
    for build in (data([broken]), lambda: built(data([broken]))):
        with pytest.raises(PairError, match="at least one correct and one incorrect"):
            build()


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


def test_another_model_is_the_one_that_the_metadata_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert Scorer.named({}) == Scorer(None, ours=False)
    named = str(save_tiny_model(tmp_path / "model", tokenizer=word_tokenizer(["only", "these"])))
    found = Scorer.named({"pretrained": named, "add_bos_token": False, "max_length": 5})
    assert found.reader is not None and not found.ours
    assert len(found.reader.tokenizer) == len(word_tokenizer(["only", "these"]))
    assert (found.reader.add_bos_token, found.reader.max_length) == (False, 5)
    missing = str(tmp_path / "missing")
    assert Scorer.named({"pretrained": missing}) == Scorer(None, ours=False)
    assert "No tokenizer to align pairs with" in caplog.text


def merging_docs() -> list[dict[str, Any]]:
    """The end of a prompt, `year1`, and an answer `732` are one word; ` A` and ` B` stay apart."""
    choices = (" A", "732", " B")
    return [
        doc(keyed(split, 1)[0], f"The {word} year1", "The dogs year1", choices)
        for split, word in (("train", "cat"), ("test", "dog"))
    ]


def test_other_models_get_no_choice_that_merges_with_the_prompt(tmp_path: Path) -> None:
    words = "The cat dog dogs year1 year1732 A B 732".split()
    folder = str(save_tiny_model(tmp_path / "model", tokenizer=word_tokenizer(words)))
    source = data(merging_docs())
    row = source(pretrained=folder)["train"][0]
    assert (row["choices"], row["correct"], row["incorrect"]) == ([" A", " B"], [0], [1])
    assert source.left_out == {"single choices that merge with the prompt": 2}
    row = built(source, word_tokenizer(words), pretrained=folder)["train"][0]
    assert row["choices"] == [" A", "732", " B"]


def test_a_pair_whose_answers_all_merge_is_left_out(tmp_path: Path) -> None:
    words = "The cat dog dogs year1 year1732 A B 732".split()
    folder = str(save_tiny_model(tmp_path / "model", tokenizer=word_tokenizer(words)))
    docs = [made | {"incorrect": [1]} for made in merging_docs()]
    with pytest.raises(TaskDataError, match="2 all answers of one kind merge with the prompt"):
        data(docs)(pretrained=folder)
