"""Every file format gives back what was written."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from helpers.tiny_models import tiny_model, token_batches
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.ablation import make_ablation
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import HIDDEN_UNITS, LEVELS, Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.formats import load_circuit_file, save_circuit_file
from harness_circuits.formats.mib_folder import MibCell, check_submission
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
        d_mlp=draw(st.integers(1, 4)),
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
    if suffix == ".pt" and space.level == HIDDEN_UNITS:
        return  # refused: see below
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
    if suffix == ".pt" and space.level == HIDDEN_UNITS:
        return
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


HIDDEN = ScoreSpace(Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4, d_mlp=3), HIDDEN_UNITS)


def test_eapig_and_mib_have_no_hidden_units(tmp_path: Path) -> None:
    scores = random_scores(HIDDEN, 0)
    with pytest.raises(CircuitFileError, match="level=mlp-neuron cannot be written for EAP-IG or"):
        save_circuit_file(tmp_path / "x.pt", scores)
    cells = (
        {MibCell("ioi", "gpt2"): scores},
        {MibCell("ioi", "gpt2"): {0.1: random_circuit(HIDDEN, 0)}},
    )
    for one in cells:
        with pytest.raises(CircuitFileError, match="ioi_gpt2: MIB has no hidden units of MLPs"):
            check_submission(one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["cfg"].update(d_mlp=0),
            r"cfg\['d_mlp'\] must be a positive whole number, got 0",
        ),
        (lambda d: d["cfg"].update(d_mlp=4), "'scores' of 'm0' must be 4 numbers"),
        (lambda d: d["mlp_neurons"].pop("m1"), "'mlp_neurons' must have an entry for every MLP"),
        (lambda d: d["mlp_neurons"].update(m1={"score": [1]}), "an MLP has 'scores' or 'in_graph'"),
        (
            lambda d: d["mlp_neurons"].update(m1={"scores": [1, 2]}),
            "'scores' of 'm1' must be 3 num",
        ),
        (lambda d: d["mlp_neurons"].update(m1={"scores": [1, 2, True]}), "must be 3 numbers"),
        (lambda d: d["mlp_neurons"].update(m1=None), "hold mappings"),
        (lambda d: d["harness_circuits"].update(provenance=3), "provenance is not a mapping"),
        (lambda d: d["cfg"].update(n_heads=3), "is for a graph of 2 layers, 3 heads"),
    ],
)
def test_damaged_files_of_hidden_units_are_refused(
    tmp_path: Path, change: Any, message: str
) -> None:
    path = save_circuit_file(tmp_path / "x.json", random_scores(HIDDEN, 0))
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(CircuitFileError, match=message):
        load_circuit_file(path, HIDDEN.graph)
