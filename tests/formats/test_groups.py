"""Circuits over grouped heads in files that know none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.eapig_files import random_circuit, random_scores, same

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.errors import CircuitFileError
from harness_circuits.formats import load_circuit_file, save_circuit_file

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=3)
GROUPED = replace(GRAPH, n_heads=4, n_kv_heads=2)
SUFFIXES = [".json", ".pt"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_grouped_circuits_expand_and_come_back(tmp_path: Path, suffix: str) -> None:
    circuit = random_circuit("edge", GROUPED)
    path = save_circuit_file(tmp_path / f"x{suffix}", circuit)
    wide = load_circuit_file(path)
    assert isinstance(wide, Circuit)
    assert wide.space.graph == replace(GROUPED, n_kv_heads=4)
    for name in GROUPED.destination_names:
        head, sign, kind = name.partition("<")
        column = circuit.kept[:, GROUPED.destination_index(name)]
        layer, _, index = head.partition(".h")
        twins = [name] if not sign or kind == "q>" else []
        twins = twins or [f"{layer}.h{2 * int(index) + i}<{kind}" for i in (0, 1)]
        for twin in twins:
            at = wide.space.graph.destination_index(twin)
            np.testing.assert_array_equal(wide.kept[:, at], column)
    same(load_circuit_file(path, GROUPED), circuit)
    for level in ("node", "neuron"):
        item = random_scores(level, GROUPED)
        same(load_circuit_file(save_circuit_file(path, item), GROUPED), item)


def test_grouped_edge_scores_have_no_place_in_eapigs_format(tmp_path: Path) -> None:
    with pytest.raises(CircuitFileError, match="Score with kv_heads=ungrouped, or write the circ"):
        save_circuit_file(tmp_path / "x.json", random_scores("edge", GROUPED))
    scores = random_scores("edge", replace(GROUPED, n_kv_heads=4))
    path = save_circuit_file(tmp_path / "x.json", scores)
    with pytest.raises(CircuitFileError, match="for 4 key/value heads per layer, this model's"):
        load_circuit_file(path, GROUPED)


def test_a_circuit_that_splits_a_group_does_not_fit_grouped_heads(tmp_path: Path) -> None:
    circuit = Circuit.of_edges(replace(GROUPED, n_kv_heads=4), ["input->a0.h2<k>"])
    path = save_circuit_file(tmp_path / "x.pt", circuit)
    with pytest.raises(CircuitFileError, match=r"does not treat the query heads of a group alike"):
        load_circuit_file(path, GROUPED)
