"""Files that are refused before their content is looked at, and numbers that are none."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.circuit_files import (
    EDGE,
    GRAPH,
    SCORED,
    SPACE,
    SUFFIXES,
    edit_json,
    edit_native,
    edit_pt,
    refuse,
)

from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import CircuitFileError, NumericalError
from harness_circuits.formats import save_circuit_file

# --- any format ---


def test_missing_empty_and_unknown_files(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        refuse(tmp_path / f"no{suffix}", "There is no circuit file")
        empty = tmp_path / f"empty{suffix}"
        empty.touch()
        refuse(empty, "is empty")
    (tmp_path / "x.pkl").touch()
    refuse(tmp_path / "x.pkl", r"ends in \.json, \.pt, \.safetensors, not '\.pkl'")
    with pytest.raises(CircuitFileError, match=r"not '\.pkl'"):
        save_circuit_file(tmp_path / "x.pkl", SCORED)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("change", "found"),
    [({"n_layers": 3}, "7 x 15"), ({"d_model": 4}, "width 3 "), ({"parallel": True}, "7 x 15")],
)
def test_another_models_file_names_both_shapes(
    tmp_path: Path, suffix: str, change: dict[str, Any], found: str
) -> None:
    path = save_circuit_file(tmp_path / f"x{suffix}", SCORED)
    other = replace(GRAPH, **change)
    refuse(path, rf"for a graph of 2 layers, 2 heads .*{found}.*; this model's graph has", other)
    refuse(path, rf"this model's graph has .*\(edge scores {other.n_src} x {other.n_dst}\)", other)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_name_the_edge(tmp_path: Path, value: float) -> None:
    values = SCORED.values.copy()
    values[GRAPH.edge_index(EDGE)] = value
    with pytest.raises(NumericalError, match=f"1 of 46 edge scores are not finite, .*of {EDGE}"):
        Scores(SPACE, values)
    paths = [save_circuit_file(tmp_path / f"x{suffix}", SCORED) for suffix in SUFFIXES]
    data = json.loads(paths[0].read_text())
    data["edges"][EDGE]["score"] = value
    paths[0].write_text(json.dumps(data))
    edit_pt(paths[1], edges_scores=torch.tensor(values))
    edit_native(paths[2], arrays={"scores": values})
    for path in paths:
        refuse(path, re.escape(f"the score of {EDGE} is {value}, and 0 more of 46 edge"))


def test_sizes_are_checked_before_reading(tmp_path: Path) -> None:
    for suffix in (".json", ".pt"):
        path = tmp_path / f"x{suffix}"
        with path.open("wb") as file:
            file.truncate(200 << 20)  # sparse: takes no room
        refuse(path, "has 209,715,200 bytes; a circuit file of this graph needs at most")
    path = save_circuit_file(tmp_path / "y.json", SCORED)
    edit_json(path, lambda d: d["cfg"].update(n_layers=100_000, n_heads=500))
    refuse(path, "implausibly large graph", None)
