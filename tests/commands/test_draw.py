"""`draw` writes every kind of file, beside what it draws or where it is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.drawn import EDGES, GRAPH, scores
from helpers.result_files import random_scores

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.commands.main import main
from harness_circuits.formats import save_circuit_file, write_circuits
from harness_circuits.report.draw import SUFFIXES


def circuit() -> Circuit:
    return Circuit.of_edges(GRAPH, EDGES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_command_writes_every_kind(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save_circuit_file(tmp_path / "scores.safetensors", random_scores())
    output = tmp_path / f"out{suffix}"
    assert main(["draw", str(file), "--keep", "30", "--output", str(output)]) == 0
    start = {
        ".svg": b"<?xml",
        ".png": b"\x89PNG",
        ".html": b"<!doctype html>",
        ".dot": b"digraph",
        ".pdf": b"%PDF-",
    }
    assert output.read_bytes().startswith(start[suffix])
    assert re.search(r"out\.\w+: \d+ nodes, \d+ edges\n", capsys.readouterr().out)


def test_the_default_is_an_svg_beside_the_file(tmp_path: Path) -> None:
    file = save_circuit_file(tmp_path / "circuit.json", circuit())
    main(["draw", str(file)])
    assert (tmp_path / "circuit.svg").exists()
    several = save_circuit_file(tmp_path / "c.safetensors", circuit())
    main(["draw", f"{several}#circuit"])
    assert (tmp_path / "c-circuit.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--output", "x.gif"],
            r"x\.gif: a drawing ends in \.svg, \.png, \.pdf, \.html, \.dot, not '\.gif'",
        ),
    ],
)
def test_bad_options(tmp_path: Path, arguments: list[str], message: str) -> None:
    file = save_circuit_file(tmp_path / "scores.safetensors", random_scores())
    with pytest.raises(SystemExit, match=message):
        main(["draw", str(file), *arguments])


def test_a_folder_of_artifacts_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = tmp_path / "run" / "ioi_circuit"
    task.mkdir(parents=True)
    save_circuit_file(task / "scores.safetensors", scores())
    write_circuits(task / "circuits.safetensors", {"absolute@0.1": circuit()})
    for folder in (task, task.parent):
        main(["draw", str(folder), "--keep", "30"])
        assert capsys.readouterr().out.startswith(str(task / "scores.svg"))
        main(["draw", f"{folder}#absolute@0.1"])
        assert capsys.readouterr().out.startswith(str(task / "circuits-absolute@0.1.svg"))
    assert "raises the metric" in (task / "circuits-absolute@0.1.svg").read_text()  # with scores
    other = tmp_path / "run" / "sva_circuit"
    other.mkdir()
    save_circuit_file(other / "scores.safetensors", scores())
    with pytest.raises(SystemExit, match=r"one task's artifacts; .* ioi_circuit, sva_circuit"):
        main(["draw", str(task.parent)])
    with pytest.raises(SystemExit, match=r"it has no scores\.safetensors"):
        main(["draw", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"There is no circuit file .*/nosuch\.$"):
        main(["draw", str(tmp_path / "nosuch")])
