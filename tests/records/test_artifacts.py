"""Files beside the results: scores, circuits, examples."""

from __future__ import annotations

import json
from pathlib import Path

import jsonlines
import numpy as np
import pytest
from helpers.example_records import made_records
from helpers.result_files import text_pairs
from safetensors import safe_open

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.evaluation.curve import CurveValues
from harness_circuits.evaluation.result import Curve, ExampleValues, Result
from harness_circuits.records.artifacts import check_folder, write_artifacts

SPACE = ScoreSpace(Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=3))
SIZES = (0.1, 1.0)


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def result(scores: Scores | None) -> Result:
    values = np.zeros(2)
    chosen = (Circuit.of_edges(SPACE.graph, ["input->logits"]), Circuit.full(SPACE))
    null, kept = np.zeros((2, 0, 2)), np.zeros((2, 0), dtype=int)
    curve_values = CurveValues(SIZES, values, values, np.zeros((2, 2)))
    curve = Curve(Ranking.SIGNED, curve_values, chosen, values, null, kept)
    examples = ExampleValues(
        (0, 1), values, values, np.zeros((2, 2)), np.zeros((2, 2)), values, [], [], values, values
    )
    return Result("pairs", "logit_diff", scores, (curve,), examples, {})


def test_folders_are_made_and_left_empty(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert check_folder(str(folder)) == folder
    assert check_folder(str(folder)) == folder
    assert list(folder.iterdir()) == []


def test_the_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_folder("~/out") == tmp_path / "out"


@pytest.mark.parametrize("inside", ["", "more"])
def test_a_file_in_the_way_is_refused(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").touch()
    path = str(tmp_path / "file" / inside)
    with pytest.raises(OptionError) as error:
        check_folder(path)
    assert str(error.value).startswith(f"artifacts={path}: {path} cannot be written: ")


def test_all_files_of_a_task(tmp_path: Path) -> None:
    scores = Scores(SPACE, np.where(SPACE.real, 1.5, 0.0), {"method": "EAP"})
    records = made_records(n=3)
    write_artifacts(tmp_path, "ioi", result(scores), records, text_pairs(3))
    folder = tmp_path / "ioi"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"scores.safetensors", "circuits.safetensors", "examples.jsonl"}
    arrays, header = read_arrays(folder / "scores.safetensors")
    np.testing.assert_array_equal(arrays["scores"], scores.values)
    assert json.loads(header["provenance"]) == {"method": "EAP"}
    arrays, header = read_arrays(folder / "circuits.safetensors")
    assert Graph.from_dict(json.loads(header["graph"])) == SPACE.graph
    assert {name: int(kept.sum()) for name, kept in arrays.items()} == {
        "signed@0.1": 1,
        "signed@1": SPACE.n_units,
    }
    with jsonlines.open(folder / "examples.jsonl") as lines:
        rows = list(lines)
    assert [row["index"] for row in rows] == [0, 1, 2]
    for row, record in zip(rows, records, strict=True):
        assert row["clean"] == f"clean {record.index}" and row["incorrect"] == [" b"]
        assert (row["full"], row["empty"]) == (record.full, record.empty)
        assert row["circuits"] == {name: list(x) for name, x in record.circuits.items()}
        assert row["accuracy"] == {name: list(x) for name, x in record.accuracy.items()}


def test_a_given_circuit_has_no_scores(tmp_path: Path) -> None:
    write_artifacts(tmp_path, "ioi", result(None), made_records(n=2), text_pairs(2))
    assert not (tmp_path / "ioi" / "scores.safetensors").exists()
    assert (tmp_path / "ioi" / "circuits.safetensors").exists()
