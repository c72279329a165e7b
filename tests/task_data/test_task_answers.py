"""Every generator's answers, against `answers`, which works them out from the prompts alone."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from helpers.answers import CHECKS, FLIPPED, WOMENS_JOBS, names_in
from helpers.task_builds import TASKS, build, option_cases, rows

from harness_circuits.task_data import base

CASES = option_cases()
every_case = pytest.mark.parametrize(
    ("name", "options"), CASES, ids=lambda x: "-".join(x.values()) if isinstance(x, dict) else x
)


def documents(name: str, options: dict[str, str], seed: int = 0) -> list[dict[str, Any]]:
    splits = rows(build(name, **options, data_seed=seed))
    return [doc for docs in splits.values() for doc in docs]


def answers(doc: dict[str, Any]) -> tuple[set[str], set[str], set[str]]:
    """Choices, right ones and wrong ones, without the space before them."""
    choices = [choice.strip() for choice in doc["choices"]]
    assert len(set(choices)) == len(choices)
    right, wrong = ({choices[at] for at in doc[kind]} for kind in ("correct", "incorrect"))
    assert right.isdisjoint(wrong) and right | wrong <= set(choices)
    return set(choices), right, wrong


def test_every_task_has_a_check() -> None:
    assert set(CHECKS) == set(TASKS)


@every_case
@pytest.mark.parametrize("seed", [0, 7])
def test_answers_are_right(name: str, options: dict[str, str], seed: int) -> None:
    for doc in documents(name, options, seed):
        choices, right, wrong = answers(doc)
        assert CHECKS[name](doc["clean"], choices) == (right, wrong), doc


@every_case
def test_the_corrupted_prompt_has_the_wrong_answers_where_it_has_any(
    name: str, options: dict[str, str]
) -> None:
    for doc in documents(name, options):
        choices, right, wrong = answers(doc)
        if name in FLIPPED:
            assert CHECKS[name](doc["corrupted"], choices) == (wrong, right), doc
        elif name == "hypernymy_circuit":
            assert wrong <= CHECKS[name](doc["corrupted"], choices)[0], doc


def occurrences(text: str, names: set[str]) -> Counter[str]:
    return Counter(names_in(text, names))


def changed(doc: dict[str, Any]) -> list[tuple[str, str]]:
    """The words in which clean and corrupted prompt differ."""
    a, b = doc["clean"].split(), doc["corrupted"].split()
    assert len(a) == len(b)
    return [(x, y) for x, y in zip(a, b, strict=True) if x != y]


@pytest.mark.parametrize("corruption", ["third-name", "s2-io-flip", "random-names"])
def test_ioi_corruptions_do_what_they_say(corruption: str) -> None:
    for doc in documents("ioi_circuit", {"corruption": corruption}):
        names, (io,), (s,) = answers(doc)
        assert occurrences(doc["clean"], names) == {io: 1, s: 2}
        assert (
            occurrences(doc["corrupted"], names)
            == {
                "third-name": {io: 1, s: 1},
                "s2-io-flip": {io: 2, s: 1},
                "random-names": {},
            }[corruption]
        )
        assert len(changed(doc)) == (3 if corruption == "random-names" else 1)
        first = doc["clean"].find(f"{io} and {s}") < 0
        assert doc["order"] == ("BABA" if first else "ABBA")


@pytest.mark.parametrize(("variant", "often"), [("double", 2), ("triple", 3)])
def test_double_ioi_names_the_indirect_object_as_often(variant: str, often: int) -> None:
    for doc in documents("double_ioi_circuit", {"variant": variant}):
        names, (io,), (s,) = answers(doc)
        assert occurrences(doc["clean"], names) == {io: often, s: 2}
        assert occurrences(doc["corrupted"], names) == {io: often, s: 1}


def test_both_orders_and_all_templates_of_ioi_occur() -> None:
    docs = documents("ioi_circuit", {})
    assert {doc["order"] for doc in docs} == {"ABBA", "BABA"}
    assert {doc["template"] for doc in docs} == set(range(30))


@pytest.mark.parametrize("variant", ["year", "price", "sequence"])
def test_greater_than_is_corrupted_to_a_start_of_one(variant: str) -> None:
    for doc in documents("greater_than_circuit", {"variant": variant}):
        choices, right, _ = answers(doc)
        now = CHECKS["greater_than_circuit"](doc["corrupted"], choices)[0]
        assert len(now) == 98 and right < now
        assert all(y.strip(",").endswith("01") for _, y in changed(doc))


@pytest.mark.parametrize("corruption", ["random-random", "random-def", "random-doc"])
def test_docstrings_are_corrupted_where_they_say(corruption: str) -> None:
    for doc in documents("docstring_circuit", {"corruption": corruption}):
        (clean, documented), (other, redocumented) = (
            text.split('"""') for text in (doc["clean"], doc["corrupted"])
        )
        assert (clean == other) is (corruption == "random-doc")
        assert (documented == redocumented) is (corruption == "random-def")


@pytest.mark.parametrize("options", [c[1] for c in CASES if c[0] == "copy_colors_mcqa_circuit"])
def test_colors_are_corrupted_where_they_say(options: dict[str, str]) -> None:
    name = "copy_colors_mcqa_circuit"
    for doc in documents(name, options):
        choices, _, wrong = answers(doc)
        if options.get("corruption") == "symbols":
            assert {y.strip(".") for _, y in changed(doc)} == set("WXYZ")
        else:
            assert CHECKS[name](doc["corrupted"], choices)[0] <= wrong
            assert len(changed(doc)) == 2


def test_professions_become_a_person_of_the_other_gender() -> None:
    for doc in documents("gender_bias_circuit", {}):
        ((job, person),) = changed(doc)
        assert person == ("man" if job in WOMENS_JOBS else "woman")


@pytest.mark.parametrize("pronoun", ["both", "he", "she", "they"])
def test_winogender_pronouns_tell_nothing(pronoun: str) -> None:
    docs = documents("winogender_circuit", {"pronoun": pronoun})
    used = {doc["pronoun"] for doc in docs}
    assert used == ({"he", "she"} if pronoun == "both" else {pronoun})
    for doc in docs:
        for text in (doc["clean"], doc["corrupted"]):
            assert f" {doc['pronoun']} " in text
    right_first = [doc["clean"].find(doc["choices"][0]) for doc in docs]
    wrong_first = [doc["clean"].find(doc["choices"][1]) for doc in docs]
    share = sum(a < b for a, b in zip(right_first, wrong_first, strict=True)) / len(docs)
    assert 0.4 < share < 0.6


@pytest.mark.parametrize("name", TASKS)
def test_another_seed_gives_other_pairs_of_the_same_splits(name: str) -> None:
    """The split is the key's, whatever the seed: nothing trained on one seed is tested by another."""
    data = build(name, n_train=1, n_validation=0, n_test=1).config.custom_dataset

    def split_by_key(seed: int) -> dict[str, str]:
        generator = random.Random(seed)
        defaults = {key: known[0] for key, known in data.options.items()}
        found = {}
        for _, doc in zip(range(200), data.candidates(generator, **defaults), strict=False):
            found[doc["clean"]] = base.split_of(name, str(doc["key"]))
        return found

    one, two = split_by_key(1), split_by_key(2)
    assert one != two
    assert all(two[clean] == split for clean, split in one.items() if clean in two)
