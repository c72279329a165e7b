"""Paths that no file can have, on every way by which a path comes in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.hostile import check_line

from harness_circuits.api import Faithfulness
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import CircuitError, OptionError
from harness_circuits.formats import load_circuit_file, save_circuit_file
from harness_circuits.harness.calibration_texts import check_source
from harness_circuits.loading.default_model import convert_gguf
from harness_circuits.loading.load import resolve
from harness_circuits.options.paths import read_path
from harness_circuits.records.artifacts import check_folder
from harness_circuits.records.strict_yaml import read_yaml
from harness_circuits.report.draw import read_drawing
from harness_circuits.sweep.config import read_config
from harness_circuits.task_data.custom import custom
from harness_circuits.task_data.mib import ioi

GRAPH = Graph(n_layers=1, n_heads=1, n_kv_heads=1, d_model=2)
SCORES = Scores(ScoreSpace(GRAPH), np.where(GRAPH.edge_mask, 1.0, 0.0))
NO_PATHS = [
    *("a\0b", "\ud800", "~nosuchuser/x", "x" * 300, "d/" * 3000, "", "a\nb"),
    *(None, 3, True, ["a"], {}, b"a", 1e300),
]
WAYS: dict[str, Callable[[Any], Any]] = {
    "load": lambda path: load_circuit_file(path),
    "load json": lambda path: load_circuit_file(f"{path}.json" if isinstance(path, str) else path),
    "save": lambda path: save_circuit_file(path, SCORES),
    "plot": lambda path: Faithfulness({}, {}, "").plot(path),
    "gguf": convert_gguf,
    "artifacts": check_folder,
    "yaml": read_yaml,
    "sweep": read_config,
    "draw": read_drawing,
    "calibration": check_source,
    "pairs": lambda path: custom(pairs=path),
    "dataset": lambda path: ioi(dataset_path=path),
}


# Without a path the dataset is the hub's, and a plot is shown.
TRIED = [
    (way, path)
    for way in WAYS
    for path in NO_PATHS
    if not (way == "dataset" and not path) and not (way == "plot" and path is None)
]


@pytest.mark.parametrize(("way", "path"), TRIED, ids=ascii)
def test_what_no_file_can_be_called_is_one_line(way: str, path: Any) -> None:
    with pytest.raises(CircuitError) as caught:
        WAYS[way](path)
    check_line(str(caught.value), path)


def test_what_a_message_says() -> None:
    for path, why in (
        ("a\0b", r"got 'a\x00b': it holds a NUL or a line break."),
        ("\ud800", r"got '\ud800': it holds half a character (a lone surrogate)."),
        ("~nosuchuser", "got '~nosuchuser': there is no such user."),
        (" ", "got ' ': it is empty."),
    ):
        with pytest.raises(OptionError) as caught:
            read_path(path, "artifacts", "a folder")
        assert str(caught.value) == f"artifacts is a folder, {why}"


def test_paths_that_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert read_path("~/x", "it") == Path("/home/me/x")
    assert read_path(Path("a/b"), "it") == Path("a/b")
    assert read_path("\u65e5\u672c " + "x" * 240, "it").name.startswith("\u65e5")
    assert resolve("org/name") == ("org/name", "org/name")
