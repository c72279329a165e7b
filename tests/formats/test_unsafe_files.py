"""Malformed and forged `.pt` and safetensors files: refused, and no code in them runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.circuit_files import EDGE, GRAPH, SCORED, SPACE, edit_native, refuse
from safetensors.numpy import save_file

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.errors import CircuitFileError, UnknownNameError
from harness_circuits.formats import load_circuit_file, save_circuit_file, write_circuits
from harness_circuits.formats.own import CIRCUITS

# --- safetensors ---


ZEROS = np.zeros(SPACE.shape, np.float32)
NATIVE_CORPUS: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "format": ({"format": "pt"}, {}, "is not a harness_circuits.circuits file"),
    "version": (
        {"version": "9"},
        {},
        "not a harness_circuits.circuits.scores file of version 1.*'9'",
    ),
    "level": ({"level": "layer"}, {}, "unknown level 'layer'"),
    "graph": ({"graph": "{"}, {}, "the header's 'graph' is missing or not JSON"),
    "graph sizes": ({"graph": '{"n_layers": 1}'}, {}, "Expected graph sizes"),
    "graph zero": (
        {"graph": json.dumps({**GRAPH.to_dict(), "n_layers": 0})},
        {},
        "A graph needs positive whole sizes",
    ),
    "provenance": ({"provenance": "[]"}, {}, "the provenance is not a mapping"),
    "shape": ({}, {"scores": ZEROS[:3]}, r"'scores' has shape \(3, 15\), its graph needs \(7, 15"),
    "dtype": ({}, {"scores": ZEROS.astype(np.int32)}, "must be floating point, got int32"),
    "name": ({}, {"values": ZEROS}, r"must hold an array 'scores'.*got \['values'\]"),
    "two arrays": ({}, {"scores": ZEROS, "more": ZEROS}, "must hold an array 'scores'"),
    "samples": (
        {"sample_sizes": "[1, 1]"},
        {"scores": ZEROS, "samples": ZEROS[None]},
        "as many positive numbers of examples",
    ),
    "sample sizes": (
        {},
        {"scores": ZEROS, "samples": ZEROS[None]},
        "the header's 'sample_sizes' is missing",
    ),
    "circuit not boolean": ({"format": CIRCUITS}, {"x": ZEROS}, "does not fit a graph"),
    "impossible edge": ({"format": CIRCUITS}, {"x": ZEROS == 0}, "keeps edges that the graph"),
}


@pytest.mark.parametrize("case", NATIVE_CORPUS)
def test_malformed_safetensors(tmp_path: Path, case: str) -> None:
    header, arrays, message = NATIVE_CORPUS[case]
    path = save_circuit_file(tmp_path / "x.safetensors", SCORED)
    refuse(edit_native(path, header=header, arrays=arrays), message)


def test_huge_and_foreign_headers(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    refuse(path, "declares a header of 1,152,921,504,606,846,976 bytes; at most")
    path.write_bytes(b"\x08\0\0\0\0\0\0\0notjson!")
    refuse(path, "is not a readable safetensors file")
    save_file({"scores": ZEROS}, path)
    refuse(path, "its header says None")


def test_one_circuit_of_several_is_chosen_by_name(tmp_path: Path) -> None:
    circuits = {
        "signed@0.05": Circuit.of_edges(GRAPH, [EDGE]),
        "absolute@1": Circuit.full(SPACE),
    }
    path = write_circuits(tmp_path / "circuits.safetensors", circuits)
    found = load_circuit_file(f"{path}#signed@0.05", GRAPH)
    assert isinstance(found, Circuit)
    np.testing.assert_array_equal(found.kept, circuits["signed@0.05"].kept)
    with pytest.raises(UnknownNameError, match="has 2 circuits; choose one as FILE#NAME, NAME bei"):
        load_circuit_file(path, GRAPH)
    with pytest.raises(UnknownNameError, match=r"absolute@1, signed@0.05 \(got 'x'\)"):
        load_circuit_file(f"{path}#x", GRAPH)
    json_path = save_circuit_file(tmp_path / "x.json", SCORED)
    with pytest.raises(UnknownNameError, match=r"NAME being one of scores \(got 'x'\)"):
        load_circuit_file(f"{json_path}#x", GRAPH)
    with pytest.raises(CircuitFileError, match="of one graph and level, got 0"):
        write_circuits(path, {})
