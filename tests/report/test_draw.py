"""Circuit drawings: the layout as data, and the files."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.drawn import EDGES, GRAPH, scores
from helpers.result_files import random_scores

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.commands.main import main
from harness_circuits.errors import CircuitFileError, OptionError
from harness_circuits.formats import save_circuit_file
from harness_circuits.report.draw import read_drawing


def circuit() -> Circuit:
    return Circuit.of_edges(GRAPH, EDGES)


def test_scores_give_a_circuit_widths(tmp_path: Path) -> None:
    file = str(save_circuit_file(tmp_path / "circuit.safetensors", circuit()))
    weights = str(save_circuit_file(tmp_path / "scores.safetensors", scores(q=-1.0)))
    assert not read_drawing(file).scored
    assert any(edge.is_negative for edge in read_drawing(file, weights).edges)
    with pytest.raises(OptionError, match=r"--scores wants a file with scores, but .* a circuit"):
        read_drawing(file, file)
    with pytest.raises(OptionError, match=r"--keep chooses among scores, but .* holds a circuit"):
        read_drawing(file, keep=3)
    with pytest.raises(OptionError, match=r"--scores goes with a circuit, but .* scores already"):
        read_drawing(weights, weights)
    other = str(save_circuit_file(tmp_path / "other.safetensors", random_scores()))
    with pytest.raises(CircuitFileError):
        read_drawing(file, other)


def test_fewer_units_than_asked_for_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the two strongest edges one starts at a head that nothing kept reads."""
    array = GRAPH.edge_mask * 0.1
    array[GRAPH.edge_index("input->logits")] = 2.0
    array[GRAPH.edge_index("a0.h1->m1")] = 3.0
    file = save_circuit_file(tmp_path / "scores.safetensors", Scores(ScoreSpace(GRAPH), array))
    main(["draw", str(file), "--keep", "2"])
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("scores.svg: 2 nodes, 1 edges")
    assert second == (
        "1 of the strongest 2 edges are left out: no path of kept units leads through them from the "
        "input to the logits"
    )
    with pytest.raises(SystemExit, match="None of the strongest 1 edges can be drawn: no path"):
        main(["draw", str(file), "--keep", "1"])
