"""The circuit-localisation tasks of MIB (Mueller et al. 2025, arXiv 2504.13151) on its datasets.

Answers, filters and counterfactuals are the benchmark's: for IOI the first tokens of the two names
behind a space, where all three names have the same number of tokens; for multiple choice the two
answer letters, as they stand in the dataset, where they have the same number of tokens; for
arithmetic the two results, where each is one token.

Commits are those that were seen in use; `main` where none is known to us.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_circuits.task_data.hub import HubData, Row

UNEQUAL_NAMES = "names differ in token length"
UNEQUAL_LABELS = "labels differ in token length"
NOT_ONE_TOKEN = "results are not single tokens"
NO_COUNTERFACTUAL = "no counterfactual"
OTHER_OPERATOR = "another operator"
SAME_ANSWER = "the counterfactual has the same answer"


def n_tokens(tokenizer: Any, text: str) -> int:
    """Tokens of a text on its own; 1 where no tokenizer is known, so that filters pass."""
    return 1 if tokenizer is None else len(tokenizer.encode(text, add_special_tokens=False))


def read_ioi(row: Row, column: str, tokenizer: Any) -> dict[str, Any] | str:
    """A document of indirect object identification."""
    facts = row["metadata"]
    names = [f" {facts[key]}" for key in ("indirect_object", "subject", "random_c")]
    if len({n_tokens(tokenizer, name) for name in names}) > 1:
        return UNEQUAL_NAMES
    return _document(row, row[column], names[0], names[1])


def read_choice(row: Row, column: str, tokenizer: Any) -> dict[str, Any] | str:
    """A document of a multiple-choice question: its answer's letter, and the counterfactual's."""
    other = row[column]
    if other is None or other["prompt"] is None:
        return NO_COUNTERFACTUAL
    right, wrong = _letter(row), _letter(other)
    if n_tokens(tokenizer, right) != n_tokens(tokenizer, wrong):
        return UNEQUAL_LABELS
    return _document(row, other, right, wrong)


def read_arithmetic(operator: str) -> Any:
    """Reader of documents of two-digit sums, or differences."""

    def read(row: Row, column: str, tokenizer: Any) -> dict[str, Any] | str:
        other = row[column]
        if row["operator"] != operator:
            return OTHER_OPERATOR
        if other is None or other["prompt"] is None:
            return NO_COUNTERFACTUAL
        right, wrong = str(row["label"]), str(other["label"])
        if {n_tokens(tokenizer, right), n_tokens(tokenizer, wrong)} != {1}:
            return NOT_ONE_TOKEN
        return _document(row, other, right, wrong)

    return read


def _letter(item: Mapping[str, Any]) -> str:
    """The label of the right choice; `answerKey` is its index."""
    return str(item["choices"]["label"][int(item["answerKey"])])


def _document(row: Row, other: Row | None, right: str, wrong: str) -> dict[str, Any] | str:
    if other is None or other["prompt"] is None:
        return NO_COUNTERFACTUAL
    if right == wrong:
        return SAME_ANSWER
    return {
        "clean": row["prompt"],
        "corrupted": other["prompt"],
        "choices": [right, wrong],
        "correct": [0],
        "incorrect": [1],
    }


ioi = HubData(
    "mib_ioi_circuit",
    "mib-bench/ioi",
    read_ioi,
    "s2_io_flip",
    revision="e5f3468f3af4c0883be35cd3bced8c711c95d286",
    n_train=1000,
)
mcqa = HubData(
    "mib_mcqa_circuit",
    "mib-bench/copycolors_mcqa",
    read_choice,
    "symbol",
    name="4_answer_choices",
    revision="682676b0e80d3a80e847a21810157710c1f23e27",
)
addition = HubData(
    "mib_arithmetic_addition_circuit",
    "mib-bench/arithmetic_addition",
    read_arithmetic("+"),
    "random",
    revision="d56d68b7b1d8f9c7e9a262ec1f89331ed52c7516",
    n_train=100,
)
subtraction = HubData(
    "mib_arithmetic_subtraction_circuit",
    "mib-bench/arithmetic_subtraction",
    read_arithmetic("-"),
    "random",
    n_train=100,
)
arc_easy = HubData(
    "mib_arc_easy_circuit",
    "mib-bench/arc_easy",
    read_choice,
    "symbol",
    revision="be6999b975e8348387cc9a21f3c8b6be8021e7d6",
    n_train=100,
)
arc_challenge = HubData(
    "mib_arc_challenge_circuit",
    "mib-bench/arc_challenge",
    read_choice,
    "symbol",
    n_train=100,
)
