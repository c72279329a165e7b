"""Our own scores and circuits files: round trips, and every kind of damage refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.random_graphs import circuits, scores
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats.own import (
    read_circuits,
    read_scores,
    write_circuits,
    write_scores,
)

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=3)
SPACE = ScoreSpace(GRAPH)
VALUES = np.where(SPACE.real, np.arange(7 * 15).reshape(7, 15), 0.0)


def damaged(tmp_path: Path, *, values: Any = VALUES, name: str = "scores", **header: Any) -> Path:
    """A scores file with some header fields replaced; None removes one."""
    fields = {
        "format": "harness_circuits.circuits.scores",
        "version": "1",
        "level": "edge",
        "graph": json.dumps(GRAPH.to_dict()),
        "provenance": "{}",
        **header,
    }
    kept = {key: value for key, value in fields.items() if value is not None}
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(save({name: values}, metadata=kept))
    return path


@given(scores())
def test_scores_round_trip(tmp_path_factory: pytest.TempPathFactory, found: Scores) -> None:
    path = tmp_path_factory.mktemp("scores") / "new" / "folder" / "s.safetensors"
    facts = {"method": "EAP", "n": 3, "text": 'é "quoted"\n', "options": {"a": [1, None]}}
    assert write_scores(path, found.describe(**facts)) == path
    loaded = read_scores(path)
    assert loaded.space == found.space
    assert loaded.provenance == facts
    assert loaded.values.dtype == found.values.dtype
    np.testing.assert_array_equal(loaded.values, found.values)
    assert [file.name for file in path.parent.iterdir()] == ["s.safetensors"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_and_memory_order_survive(tmp_path: Path, dtype: Any) -> None:
    values = np.asfortranarray(VALUES.astype(dtype))
    loaded = read_scores(write_scores(tmp_path / "s.safetensors", Scores(SPACE, values)))
    assert loaded.values.dtype == dtype
    np.testing.assert_array_equal(loaded.values, values)


@given(circuits())
def test_circuits_round_trip(tmp_path_factory: pytest.TempPathFactory, circuit: Circuit) -> None:
    path = tmp_path_factory.mktemp("circuits") / "circuits.safetensors"
    full = Circuit.full(circuit.space)
    loaded = read_circuits(write_circuits(path, {"signed@0.1": circuit, "signed@1": full}))
    assert set(loaded) == {"signed@0.1", "signed@1"}
    assert loaded["signed@0.1"].space == circuit.space
    np.testing.assert_array_equal(loaded["signed@0.1"].kept, circuit.kept)
    assert loaded["signed@1"].n_kept == circuit.space.n_units


def test_missing_file_is_named(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(CircuitFileError, match="There is no circuit file") as error:
            read_scores(missing)
        assert str(missing) in str(error.value)


@pytest.mark.parametrize("data", [b"", b"x", b"{}", b"\x80\x04K\x01.", b"\xff" * 100, b"\0" * 8])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "s.safetensors"
    path.write_bytes(data)
    with pytest.raises(CircuitFileError) as error:
        read_scores(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({"format": None}, "is not a harness_circuits.circuits.scores file"),
        ({"format": "pt"}, "its header says 'pt', version '1'"),
        ({"version": None}, "version None"),
        ({"version": "2"}, "version '2'"),
        ({"level": None}, "unknown level None"),
        ({"level": "layer"}, "unknown level 'layer'"),
        ({"level": "node"}, r"'scores' has shape \(7, 15\), its graph needs \(7,\)"),
        ({"graph": None}, "the header's 'graph' is missing or not JSON"),
        ({"graph": "{"}, "the header's 'graph' is missing or not JSON"),
        ({"graph": "[" * 10**5}, "the header's 'graph' is missing or not JSON"),
        ({"graph": "[]"}, "Expected graph sizes"),
        ({"graph": json.dumps({**GRAPH.to_dict(), "n_layers": 0})}, "Unusable graph sizes"),
        ({"graph": json.dumps({**GRAPH.to_dict(), "n_layers": 10**12})}, "its graph needs"),
        ({"provenance": None}, "the header's 'provenance' is missing or not JSON"),
        ({"provenance": "[1]"}, "the provenance is not a mapping"),
        ({"name": "values"}, "must hold an array 'scores'"),
        ({"values": VALUES.astype(np.int32)}, "scores must be floating point, got int32"),
        ({"values": np.full((7, 15), np.nan)}, "not finite"),
        ({"values": np.zeros((7, 14))}, r"'scores' has shape \(7, 14\), its graph needs \(7, 15\)"),
        ({"values": np.zeros(())}, r"'scores' has shape \(\), its graph needs \(7, 15\)"),
    ],
)
def test_damaged_files_are_refused_by_name(
    tmp_path: Path, header: dict[str, Any], text: str
) -> None:
    path = damaged(tmp_path, **header)
    with pytest.raises(CircuitFileError, match=text) as error:
        read_scores(path)
    assert str(path) in str(error.value)


@given(st.data())
def test_no_damage_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzzed")
    content = bytearray(damaged(folder).read_bytes())
    path = folder / "fuzzed.safetensors"
    for at in data.draw(st.lists(st.integers(0, 420), min_size=1, max_size=3)):
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content) - 1))]))
    with pytest.raises(CircuitFileError):
        read_scores(path)
    path.write_bytes(bytes(content))
    try:
        loaded = read_scores(path)
    except CircuitFileError:
        return
    assert loaded.values.shape == loaded.space.shape
