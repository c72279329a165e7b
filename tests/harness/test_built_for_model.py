"""A task's data are built for the model that is run on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.reading_models import circuit, reading_folder
from helpers.tiny_tasks import TASK, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model, word_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_folder(tmp_path_factory.mktemp("reading"))


def test_two_models_in_one_process_get_their_own_pairs(folder: Path, tmp_path: Path) -> None:
    """A pair aligns for one tokenizer only: its words are known to it."""
    save_tiny_model(tmp_path / "few", "llama", word_tokenizer(["The", "cat", "dog", "store"]))
    doc = {"choices": [" cat", " dog"], "correct": [0], "incorrect": [1]}
    both = {**doc, "clean": "The cat", "corrupted": "The dog"}
    mine = {**doc, "clean": "The Mary store", "corrupted": "The John store"}  # unknown to the other
    include = write_task(tmp_path, train=[both, mine], test=[both, mine])
    alone = evaluate(circuit(folder, "chat"), [TASK], include)
    first, second = circuit(folder, "chat"), circuit(tmp_path, "few")
    for lm, n in ((first, 2), (second, 1), (first, 2)):
        results = evaluate(lm, [TASK], include)
        facts = results["config"]["circuit"]["tasks"][TASK]
        assert (facts["n_evaluation"], sum(facts["left_out"].values())) == (n, 2 * (2 - n))
        if lm is first:
            assert values(results) == values(alone)
