"""Score spaces, scores, and the writing of files."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from helpers.random_graphs import spaces
from hypothesis import example, given
from hypothesis import strategies as st

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.errors import MismatchError, NumericalError, OptionError
from harness_circuits.machine.files import write_atomically

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=3)
SPACE = ScoreSpace(GRAPH)


def values_of(space: ScoreSpace) -> np.ndarray:
    return np.where(space.real, np.arange(space.real.size).reshape(space.shape), 0.0)


@given(spaces())
def test_units_are_counted_by_level(space: ScoreSpace) -> None:
    graph = space.graph
    expected = {
        "edge": graph.n_edges,
        "node": graph.n_src,
        "neuron": graph.n_src * graph.d_model,
        "mlp-neuron": graph.n_layers * (graph.d_mlp or 0),
    }
    assert space.n_units == expected[space.level] == int(space.real.sum())
    assert space.real.shape == space.shape


def test_unknown_level_is_refused() -> None:
    with pytest.raises(
        OptionError, match=r"Unknown level 'layer'. Known: edge, node, neuron, mlp-"
    ):
        ScoreSpace(GRAPH, "layer")  # type: ignore[arg-type]


def test_hidden_units_need_a_graph_that_says_how_many() -> None:
    with pytest.raises(OptionError, match="level=mlp-neuron needs MLPs with hidden units"):
        ScoreSpace(GRAPH, "mlp-neuron")
    known = replace(GRAPH, d_mlp=5)
    assert known == GRAPH and ScoreSpace(known) == SPACE
    space = ScoreSpace(known, "mlp-neuron")
    assert space.shape == (2, 5) and space.unit_name(1, 3) == "m1.h[3]"
    assert space != ScoreSpace(replace(GRAPH, d_mlp=6), "mlp-neuron")


@given(spaces(), st.integers(0, 2**32 - 1))
def test_units_of_sources_and_shares_of_units_agree(space: ScoreSpace, seed: int) -> None:
    chosen = np.random.default_rng(seed).random(space.graph.n_src) < 0.5
    units = space.units_of(chosen)
    assert units.shape == space.shape and not (units & ~space.real).any()
    shares = space.shares(units)
    mine = np.zeros(len(chosen), dtype=bool)
    of = space.graph.mlp_sources if space.level == "mlp-neuron" else slice(None)
    mine[of] = True  # all else is kept in any case
    np.testing.assert_array_equal(shares, np.where(mine, chosen, True))


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
        MismatchError, match=r"Scores of shape \(3,\) do not fit .* shape \(7, 15\)"
    ):
        Scores(SPACE, np.zeros(3))


def test_scores_are_finite_where_units_exist() -> None:
    values = values_of(SPACE)
    values[0, 0], values[1, 8] = np.nan, np.inf
    with pytest.raises(NumericalError, match=r"^2 of 46 edge scores are not finite"):
        Scores(SPACE, values)
    values = np.where(SPACE.real, 1.0, np.nan)
    assert Scores(SPACE, values).values is values


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


def test_provenance_is_added_to_a_copy() -> None:
    plain = Scores(SPACE, values_of(SPACE), {"method": "EAP"})
    described = plain.describe(n=3, method="exact")
    assert described.provenance == {"method": "exact", "n": 3}
    assert plain.provenance == {"method": "EAP"}
    assert described.values is plain.values
