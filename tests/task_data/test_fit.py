"""What fits a tokenizer: kept, left out and counted, or an error."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from helpers.built import built
from helpers.documents import data, doc, keyed
from helpers.tiny_tokenizer import save_tiny_model, word_tokenizer

from harness_circuits.errors import PairError, TaskDataError


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
