"""Every file format gives back what was written."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from helpers.tiny_models import tiny_model, token_batches
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.ablation import make_ablation
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import LEVELS, Scores, ScoreSpace
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.formats import load_circuit_file, save_circuit_file
from harness_circuits.metrics.metrics import METRICS

SUFFIXES = [".json", ".pt", ".safetensors"]


@st.composite
def spaces(draw: st.DrawFn) -> ScoreSpace:
    heads = draw(st.integers(1, 3))
    graph = Graph(
        n_layers=draw(st.integers(1, 3)),
        n_heads=heads,
        n_kv_heads=heads,
        d_model=draw(st.integers(1, 4)),
        parallel=draw(st.booleans()),
    )
    return ScoreSpace(graph, draw(st.sampled_from(LEVELS)))


def random_scores(space: ScoreSpace, seed: int, dtype: type = np.float32) -> Scores:
    values = np.random.default_rng(seed).standard_normal(space.shape) * space.real
    return Scores(space, values.astype(dtype), {"method": "eap", "steps": 5, "model": "tiny"})


def random_circuit(space: ScoreSpace, seed: int, share: float = 0.5) -> Circuit:
    draws = np.random.default_rng(seed).random(space.shape)
    return Circuit(space, (draws < share) & space.real)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None)
@given(space=spaces(), seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from([np.float32, float]))
def test_scores(suffix: str, space: ScoreSpace, seed: int, dtype: type) -> None:
    scores = random_scores(space, seed, dtype)
    with TemporaryDirectory() as folder:
        path = save_circuit_file(Path(folder) / f"x{suffix}", scores)
        for graph in (space.graph, None):
            loaded = load_circuit_file(path, graph)
            assert isinstance(loaded, Scores)
            assert loaded.space == space
            assert loaded.values.dtype == dtype
            np.testing.assert_array_equal(loaded.values, scores.values)
            assert loaded.provenance == scores.provenance


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None)
@given(space=spaces(), seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0, 0.1, 0.6, 1]))
def test_circuits(suffix: str, space: ScoreSpace, seed: int, share: float) -> None:
    circuit = random_circuit(space, seed, share)
    with TemporaryDirectory() as folder:
        path = save_circuit_file(Path(folder) / f"x{suffix}", circuit)
        loaded = load_circuit_file(path, space.graph)
    assert isinstance(loaded, Circuit)
    assert loaded.space == space
    np.testing.assert_array_equal(loaded.kept, circuit.kept)


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_an_expanded_circuit_computes_the_same_function(tmp_path: Path, architecture: str) -> None:
    grouped, ungrouped = (
        tiny_model(architecture, kv_heads=kv_heads) for kv_heads in ("grouped", "ungrouped")
    )
    circuit = random_circuit(ScoreSpace(grouped.graph), 3).prune()
    path = save_circuit_file(tmp_path / "x.json", circuit)
    wide = load_circuit_file(path, ungrouped.graph)
    assert isinstance(wide, Circuit)
    assert wide.n_kept > circuit.n_kept
    batches, metric = token_batches(), METRICS.get("logit_diff")
    values = [
        evaluate_circuits(model, batches, [c], metric, make_ablation("patching", model, batches))
        for model, c in ((grouped, circuit), (ungrouped, wide))
    ]
    assert np.ptp(values[0].circuits - values[0].full) > 0
    np.testing.assert_allclose(values[0].circuits, values[1].circuits, rtol=1e-9)
