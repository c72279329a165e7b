"""Data of a model whose circuit is known: its folder's pairs and true circuit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError, TaskDataError
from harness_circuits.formats import save_circuit_file
from harness_circuits.ground_truth import TruthFiles, ground_truth_folder, truth_files
from harness_circuits.loading.load import load_model
from harness_circuits.task_data.truth import TruthData

DOC = {
    "clean": "a b",
    "corrupted": "c b",
    "choices": [" a", " c"],
    "correct": [0],
    "incorrect": [1],
}


def data(tmp_path: Path, *rows: Any, words: frozenset[str] | None = None) -> TruthData:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(
        "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)
    )
    found = TruthData("t")
    found.files = TruthFiles(tmp_path / "circuit.json", pairs, words=words)
    return found


def test_a_document_is_known_by_its_clean_prompt_unless_it_says_otherwise(tmp_path: Path) -> None:
    found = list(data(tmp_path, DOC, {**DOC, "key": "mine"})._documents(None))
    assert [doc["key"] for doc in found] == ["a b", "mine"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 1: not JSON"),
        ([1], "line 1: not a document"),
        (DOC, "line 1: the model has no tok"),
    ],
)
def test_a_row_that_is_none_is_told_by_line(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(TaskDataError, match=message):
        list(data(tmp_path, row, words=frozenset("a"))._documents(None))


def test_the_true_circuit_is_this_models_and_says_of_every_edge_whether_it_is_in(
    tmp_path: Path,
) -> None:
    found, folder = TruthData("t"), ground_truth_folder("induction")
    found.files = truth_files(str(folder))
    model = load_model(str(folder), device="cpu")
    assert found.circuit(model.graph).n_kept > 0 and not found.whole_heads
    with pytest.raises(CircuitFileError, match=r"another model|graph"):
        found.circuit(Graph(n_layers=1, n_heads=1, n_kv_heads=1, d_model=2))
    space = ScoreSpace(model.graph)
    save_circuit_file(tmp_path / "scores.json", Scores(space, 1.0 * space.real))
    found.files = TruthFiles(tmp_path / "scores.json", found.files.pairs)
    with pytest.raises(CircuitFileError, match="holds importances; a true circuit says of every"):
        found.circuit(model.graph)
