"""Lists of words: without repetition, and apart where tasks need them apart."""

from __future__ import annotations

from harness_circuits.task_data.words import FEMALE_NAMES, MALE_NAMES, NAMES


def test_words_are_there_once_and_genders_apart() -> None:
    for words in (NAMES, FEMALE_NAMES, MALE_NAMES):
        assert len(set(words)) == len(words) > 30
        assert all(word.isalpha() and word[0].isupper() for word in words)
    assert not set(FEMALE_NAMES) & set(MALE_NAMES)
