"""Damaged and foreign files, mostly JSON: each is refused with a clear error."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.circuit_files import (
    EDGE,
    GRAPH,
    SCORED,
    SUFFIXES,
    edit_json,
    refuse,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness_circuits.errors import CircuitError
from harness_circuits.formats import load_circuit_file, save_circuit_file


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    path = save_circuit_file(tmp_path / f"x{suffix}", SCORED)
    data = path.read_bytes()
    for end in range(1, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:end])
        refuse(path, "x")


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_bytes_never_crash(tmp_path: Path, suffix: str, seed: int) -> None:
    path = save_circuit_file(tmp_path / f"x{suffix}", SCORED)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(data), 4):
        data[at] = rng.integers(256)
    path.write_bytes(data)
    try:
        load_circuit_file(path, GRAPH)
    except CircuitError as error:
        assert path.name in str(error)


# --- JSON ---


JSON_CORPUS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no cfg": (lambda d: d.pop("cfg"), "it has no mapping 'cfg'"),
    "no nodes": (lambda d: d.pop("nodes"), "it has no mapping 'nodes'"),
    "edges a list": (lambda d: d.update(edges=[]), "it has no mapping 'edges'"),
    "cfg without layers": (lambda d: d["cfg"].pop("n_layers"), r"cfg\['n_layers'\] must be a pos"),
    "cfg with text": (lambda d: d["cfg"].update(n_heads="2"), r"cfg\['n_heads'\].* got '2'"),
    "cfg with a boolean": (lambda d: d["cfg"].update(n_heads=True), "got True"),
    "cfg negative": (lambda d: d["cfg"].update(d_model=-3), "got -3"),
    "cfg not parallel": (lambda d: d["cfg"].pop("parallel_attn_mlp"), "must be true or false"),
    "unknown edge": (
        lambda d: d["edges"].update({"a9.h0->m1": d["edges"].pop(EDGE)}),
        "Unknown source node 'a9.h0'",
    ),
    "backward edge": (
        lambda d: d["edges"].update({"m1->m0": d["edges"].pop(EDGE)}),
        "There is no edge 'm1->m0'",
    ),
    "no edge": (lambda d: d["edges"].update(x=d["edges"].pop(EDGE)), "'x' is not an edge"),
    "too many edges": (lambda d: d["edges"].update({"a->b": {}}), "names 8 nodes and 47 edges"),
    "unknown node": (
        lambda d: d["nodes"].update(m7=d["nodes"].pop("m1")),
        "Unknown source node 'm7'",
    ),
    "score a word": (
        lambda d: d["edges"][EDGE].update(score="big"),
        f"{EDGE}' is no number: 'big'",
    ),
    "score a boolean": (lambda d: d["edges"][EDGE].update(score=True), "is no number: True"),
    "score null": (lambda d: d["edges"][EDGE].update(score=None), "is no number: None"),
    "score too large": (lambda d: d["edges"][EDGE].update(score=10**400), "is too large"),
    "score missing": (lambda d: d["edges"][EDGE].pop("score"), "only 45 of 46 edges have a score"),
    "edge missing": (lambda d: d["edges"].pop(EDGE), "scores 45 of 46 edges. Importances need the"),
    "membership missing": (lambda d: d["edges"][EDGE].pop("in_graph"), "must have 'in_graph' true"),
    "membership a number": (lambda d: d["edges"][EDGE].update(in_graph=1), "or false, got 1"),
    "edge a number": (lambda d: d["edges"].update({EDGE: 0.5}), "must be a mapping, got 0.5"),
    "node a number": (lambda d: d["nodes"].update(m0=1), "'m0' must be a mapping, got 1"),
    "half the nodes scored": (lambda d: d["nodes"]["m0"].update(score=1), "only 1 of 7 nodes have"),
    "neurons too few": (
        lambda d: [node.update(neurons=[True]) for node in d["nodes"].values()],
        "'neurons' of 'input' must be 3 values, got 1",
    ),
    "neurons not boolean": (
        lambda d: [node.update(neurons=[1, 0, 2]) for node in d["nodes"].values()],
        "'neurons' of 'input' must be true or false",
    ),
    "neurons a word": (
        lambda d: [node.update(neurons="abc") for node in d["nodes"].values()],
        "must be 3 values, got 'abc'",
    ),
    "our entry a list": (lambda d: d.update(harness_circuits=[]), "is not a mapping"),
    "our entry odd": (lambda d: d.update(harness_circuits={"level": "x"}), "is damaged or of ano"),
}


@pytest.mark.parametrize("case", JSON_CORPUS)
def test_malformed_json(tmp_path: Path, case: str) -> None:
    change, message = JSON_CORPUS[case]
    refuse(edit_json(save_circuit_file(tmp_path / "x.json", SCORED), change), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "is not a JSON file"),
        ("[]", "it has no mapping 'cfg'"),
        ("3", "it has no mapping 'cfg'"),
        ('{"cfg": {}, "cfg": {}}', "has two entries 'cfg' in one mapping"),
        ("[" * 100_000, "is not a JSON file"),
        ('{"cfg": ' + "9" * 5000 + "}", "is not a JSON file"),
        ("\udcff\udcfe", "is not a JSON file"),
    ],
)
def test_not_our_json(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    refuse(path, message)


def test_an_edge_given_twice(tmp_path: Path) -> None:
    path = save_circuit_file(tmp_path / "x.json", SCORED)
    entry = f'"{EDGE}": {{"score": 5.0, "in_graph": true}}, '
    path.write_text(path.read_text().replace('"edges": {', '"edges": {' + entry))
    refuse(path, re.escape(f"has two entries '{EDGE}' in one mapping"))
