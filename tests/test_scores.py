"""Score spaces, scores, and their files."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from random_graphs import scores, spaces
from safetensors.numpy import save

from harness_circuits.curve import MIB_SIZES
from harness_circuits.errors import CircuitFileError, NumericalError, OptionError
from harness_circuits.graph import Graph
from harness_circuits.scores import Scores, ScoreSpace, json_field, write_atomically

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=3)
SPACE = ScoreSpace(GRAPH)


def values_of(space: ScoreSpace) -> np.ndarray:
    return np.where(space.real, np.arange(space.real.size).reshape(space.shape), 0.0)


def damaged(tmp_path: Path, *, values: Any = None, name: str = "scores", **header: Any) -> Path:
    """A scores file with some header fields replaced; None removes one."""
    fields = {
        "format": "harness_circuits.scores",
        "version": "1",
        "level": "edge",
        "graph": json.dumps(GRAPH.to_dict()),
        "provenance": "{}",
        **header,
    }
    kept = {key: value for key, value in fields.items() if value is not None}
    array = values_of(SPACE) if values is None else values
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(save({name: array}, metadata=kept))
    return path


@given(spaces())
def test_units_are_counted_by_level(space: ScoreSpace) -> None:
    graph = space.graph
    expected = {
        "edge": graph.n_edges,
        "node": graph.n_src,
        "neuron": graph.n_src * graph.d_model,
    }
    assert space.n_units == expected[space.level] == int(space.real.sum())
    assert space.real.shape == space.shape


def test_unknown_level_is_refused() -> None:
    with pytest.raises(OptionError, match=r"Unknown level 'layer'. Known: edge, node, neuron."):
        ScoreSpace(GRAPH, "layer")  # type: ignore[arg-type]


@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from(MIB_SIZES))
@example(100, 1, 0.001)
def test_size_is_rounded_down_as_mib_does(n_src: int, width: int, size: float) -> None:
    space = ScoreSpace(Graph(n_layers=1, n_heads=n_src, n_kv_heads=1, d_model=width), "neuron")
    exact = Fraction(str(size)) * space.n_units
    assert space.n_at(size) == max(1, int(exact))
    assert space.n_at(size) == max(1, int(size * space.n_units))


@given(spaces(), st.floats(1e-9, 1), st.floats(1e-9, 1))
def test_larger_sizes_have_no_fewer_units(space: ScoreSpace, a: float, b: float) -> None:
    assert 1 <= space.n_at(min(a, b)) <= space.n_at(max(a, b)) <= space.n_at(1) == space.n_units


@pytest.mark.parametrize("size", [0, -0.1, 1.1, float("nan"), float("inf")])
def test_sizes_are_fractions(size: float) -> None:
    with pytest.raises(OptionError, match=r"A circuit size is a fraction in \(0, 1\], got"):
        SPACE.n_at(size)


def test_values_have_the_shape_of_the_space() -> None:
    with pytest.raises(
        CircuitFileError, match=r"Scores of shape \(3,\) do not fit .* shape \(7, 15\)"
    ):
        Scores(SPACE, np.zeros(3))


def test_scores_are_finite_where_units_exist() -> None:
    values = values_of(SPACE)
    values[0, 0], values[1, 8] = np.nan, np.inf
    with pytest.raises(
        NumericalError, match=r"2 of 46 edge scores are not finite. Check the model's"
    ):
        Scores(SPACE, values)
    values = np.where(SPACE.real, 1.0, np.nan)
    assert Scores(SPACE, values).values is values


@given(scores())
def test_files_round_trip(tmp_path_factory: pytest.TempPathFactory, found: Scores) -> None:
    path = tmp_path_factory.mktemp("scores") / "new" / "folder" / "s.safetensors"
    facts = {"method": "EAP", "n": 3, "text": 'é "quoted"\n', "options": {"a": [1, None]}}
    described = found.describe(**facts)
    assert found.provenance == {}
    assert described.save(path) == path
    loaded = Scores.load(str(path))
    assert loaded.space == found.space
    assert loaded.provenance == facts
    assert loaded.values.dtype == found.values.dtype
    np.testing.assert_array_equal(loaded.values, found.values)
    assert [file.name for file in path.parent.iterdir()] == ["s.safetensors"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtype_and_memory_order_survive(tmp_path: Path, dtype: Any) -> None:
    values = np.asfortranarray(values_of(SPACE).astype(dtype))
    loaded = Scores.load(Scores(SPACE, values).save(tmp_path / "s.safetensors"))
    assert loaded.values.dtype == dtype
    np.testing.assert_array_equal(loaded.values, values)


def test_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    for missing in (path, tmp_path):
        with pytest.raises(CircuitFileError) as error:
            Scores.load(missing)
        assert str(error.value) == f"There is no file {missing}."


@pytest.mark.parametrize("data", [b"", b"x", b"{}", b"\x80\x04K\x01.", b"\xff" * 100, b"\0" * 8])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "s.safetensors"
    path.write_bytes(data)
    with pytest.raises(CircuitFileError, match="is not a readable safetensors file"):
        Scores.load(path)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({"format": None}, "is not a harness_circuits.scores file"),
        ({"format": "pt"}, "its format field is 'pt'"),
        ({"version": None}, "version None"),
        ({"version": "2"}, "version '2'"),
        ({"level": None}, "the header's 'level' is None; expected one of"),
        ({"level": "layer"}, "the header's 'level' is 'layer'; expected one of edge, node, neuron"),
        (
            {"level": "node"},
            r"shape \(7, 15\) do not fit a graph whose node",
        ),
        ({"graph": None}, "the header's 'graph' is missing or not JSON"),
        ({"graph": "{"}, "the header's 'graph' is missing or not JSON"),
        ({"graph": "[]"}, "Expected graph sizes"),
        ({"graph": json.dumps({**GRAPH.to_dict(), "n_layers": 0})}, "Unusable graph sizes"),
        ({"graph": json.dumps({**GRAPH.to_dict(), "n_layers": 10**12})}, "do not fit a graph"),
        ({"provenance": None}, "the header's 'provenance' is missing or not JSON"),
        ({"provenance": "[1]"}, "the header's 'provenance' is not an object"),
        ({"name": "values"}, "is not a readable safetensors file"),
        ({"values": np.zeros((7, 15), dtype=np.int32)}, "holds int32 numbers"),
        ({"values": np.full((7, 15), np.nan)}, "46 of 46 edge scores are not finite"),
        ({"values": np.zeros((7, 14))}, r"Scores of shape \(7, 14\) do not fit"),
    ],
)
def test_damaged_files_are_refused_by_name(
    tmp_path: Path, header: dict[str, Any], text: str
) -> None:
    path = damaged(tmp_path, **header)
    with pytest.raises(CircuitFileError, match=text) as error:
        Scores.load(path)
    assert str(path) in str(error.value)


@given(st.data())
def test_no_damage_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzzed")
    original = damaged(folder).read_bytes()
    path = folder / "fuzzed.safetensors"
    content = bytearray(original)
    for at in data.draw(st.lists(st.integers(0, 420), min_size=1, max_size=3)):
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content) - 1))]))
    with pytest.raises(CircuitFileError):
        Scores.load(path)
    path.write_bytes(bytes(content))
    try:
        loaded = Scores.load(path)
    except CircuitFileError:
        return
    assert loaded.values.shape == loaded.space.shape


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_have_the_usual_permissions(tmp_path: Path) -> None:
    ours, usual = write_atomically(tmp_path / "ours", b""), tmp_path / "usual"
    usual.write_bytes(b"")
    assert os.stat(ours).st_mode == os.stat(usual).st_mode


def test_json_fields_are_named() -> None:
    assert json_field("f", {"a": "[1]"}, "a") == [1]
    with pytest.raises(CircuitFileError, match=r"f: the header's 'b' is missing or not JSON."):
        json_field("f", {"a": "[1]"}, "b")
