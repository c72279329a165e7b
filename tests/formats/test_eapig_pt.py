"""EAP-IG's `.pt` files, malformed and forged: refused, and no code in them runs."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.circuit_files import GRAPH, SCORED, SUFFIXES, edit_pt, refuse

from harness_circuits.circuits.graph import Graph
from harness_circuits.formats import save_circuit_file

# --- .pt ---


PT_CORPUS: dict[str, tuple[dict[str, Any], str]] = {
    "wrong shape": (
        {"edges_scores": torch.zeros(7, 14)},
        r"'edges_scores' has shape \(7, 14\), its graph needs \(7, 15\)",
    ),
    "transposed": ({"edges_in_graph": torch.zeros(15, 7).bool()}, r"has shape \(15, 7\)"),
    "huge without storage": (
        {"edges_scores": torch.zeros(1).expand(10**9, 10**9)},
        r"has shape \(1000000000, 1000000000\)",
    ),
    "scores whole numbers": (
        {"edges_scores": torch.zeros(7, 15).long()},
        "must be floating point, got torch.int64",
    ),
    "membership 2": ({"nodes_in_graph": torch.full((7,), 2)}, "must be boolean, or numbers 0 and"),
    "membership complex": ({"nodes_in_graph": torch.zeros(7) * 1j}, "must be boolean, got"),
    "a list": ({"nodes_in_graph": [True] * 7}, "'nodes_in_graph' must be a tensor, got list"),
    "sparse": ({"edges_scores": torch.eye(7, 15).to_sparse()}, "'edges_scores' must be a tensor"),
    "no values": ({"edges_scores": torch.zeros(7, 15, device="meta")}, "has no values|damaged"),
    "cfg a list": ({"cfg": [2]}, "'cfg' must map names to sizes"),
    "cfg text": ({"cfg": {"n_layers": "2"}}, r"cfg\['n_layers'\] must be a positive"),
    "names missing": ({"src_nodes": ["input"]}, "'src_nodes' must be 7 names, got 1"),
    "names no list": ({"src_nodes": 3}, "'src_nodes' must be 7 names, got int"),
    "name twice": (
        {"src_nodes": ["input", "a0.h0", "a0.h0", "m0", "a1.h0", "a1.h1", "m1"]},
        r"src_nodes\[2\] must be 'a0.h1' in this graph, got 'a0.h0'",
    ),
    "name unknown": ({"dst_nodes": ["x"] * 15}, r"dst_nodes\[0\] must be 'a0.h0<q>'.*got 'x'"),
    "our entry": ({"harness_circuits": 3}, "is not a mapping"),
    "our level": ({"harness_circuits": {"version": 1, "level": "x"}}, "damaged or of another"),
    "our version": (
        {"harness_circuits": {"version": 2, "level": "edge", "content": "scores"}},
        "version 2",
    ),
    "unscored level": (
        {"harness_circuits": {"version": 1, "level": "node", "content": "scores"}},
        "has no node scores",
    ),
    "no neurons": (
        {"harness_circuits": {"version": 1, "level": "neuron", "content": "circuit"}},
        "has no neurons",
    ),
    "provenance": (
        {
            "harness_circuits": {
                "version": 1,
                "level": "edge",
                "content": "scores",
                "provenance": [],
            }
        },
        "the provenance is not a mapping",
    ),
}


@pytest.mark.parametrize("case", PT_CORPUS)
def test_malformed_pt(tmp_path: Path, case: str) -> None:
    changes, message = PT_CORPUS[case]
    refuse(edit_pt(save_circuit_file(tmp_path / "x.pt", SCORED), **changes), message)


def test_missing_keys_and_other_objects(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"cfg": {}}, path)
    refuse(path, "it has no src_nodes, dst_nodes, edges_in_graph, nodes_in_graph")
    torch.save([1, 2], path)
    refuse(path, "it holds a list")
    torch.save({"cfg": Graph}, path)
    refuse(path, "something other than tensors and plain values, which is never loaded")


class Bomb:
    """Unpickling this makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.target),)


def bomb_in_zip(path: Path, bomb: Bomb) -> None:
    torch.save({"cfg": bomb}, path)


def bomb_as_legacy(path: Path, bomb: Bomb) -> None:
    torch.save({"cfg": bomb}, path, _use_new_zipfile_serialization=False)


def bomb_bare(path: Path, bomb: Bomb) -> None:
    path.write_bytes(pickle.dumps(bomb))


def bomb_beside_valid_data(path: Path, bomb: Bomb) -> None:
    save_circuit_file(path, SCORED)
    torch.save({**torch.load(path, weights_only=True), "extra": bomb}, path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("write", [bomb_in_zip, bomb_as_legacy, bomb_bare, bomb_beside_valid_data])
def test_code_in_a_file_never_runs(
    tmp_path: Path, write: Callable[[Path, Bomb], None], suffix: str
) -> None:
    target = tmp_path / "made"
    path = tmp_path / "x.pt"
    write(path, Bomb(target))
    path = path.rename(tmp_path / f"x{suffix}")
    for graph in (GRAPH, None):
        refuse(path, "x", graph)
        assert not target.exists()


def test_the_bomb_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "made")))
    assert (tmp_path / "made").is_dir()


def test_a_file_that_unpacks_to_too_much(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\0" * (20 << 20))
    assert path.stat().st_size < 100_000
    refuse(path, "unpacks to 20,971,520 bytes; a circuit file of this graph needs at most")


def test_an_archive_of_a_later_zip_version(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99  # the version that is needed to unpack
    path.write_bytes(content)
    refuse(
        path, r"is not a \.pt file of torch 1\.6 or later, or it is cut off: zip file version 9\.9"
    )
