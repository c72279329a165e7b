"""Circuit drawings: the layout as data, and the files."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.random_graphs import circuits
from helpers.result_files import random_scores
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.commands.main import main
from harness_circuits.errors import CircuitFileError, OptionError
from harness_circuits.formats import save_circuit_file, write_circuits
from harness_circuits.report.draw import SUFFIXES, draw, read_drawing
from harness_circuits.report.drawing.layout import MERGE_ABOVE, lay_out

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4)
EDGES = ["input->a0.h1<q>", "input->a0.h1<k>", "a0.h1->m1", "m1->logits", "a0.h1->logits"]


def circuit() -> Circuit:
    return Circuit.of_edges(GRAPH, EDGES)


def scores(**values: float) -> Scores:
    """Scores 1 everywhere but for named edges, arrows written as `__`."""
    array = GRAPH.edge_mask.astype(float)
    for at, value in enumerate(values.values()):
        array[GRAPH.edge_index(EDGES[at])] = value
    return Scores(ScoreSpace(GRAPH), array)


@given(circuits(), st.booleans())
def test_every_edge_is_drawn_and_goes_up(drawn: Circuit, merge: bool) -> None:
    graph = drawn.space.graph
    edge_level = drawn.space.level == "edge"
    kept = drawn.edges if edge_level else drawn.edges & drawn.into_kept
    if not kept.any():
        with pytest.raises(OptionError, match="1 to 2000 edges, this circuit has 0"):
            lay_out(drawn)
        return
    drawing = lay_out(drawn, merge=merge)
    names = [name for edge in drawing.edges for name in edge.names]
    assert set(names) == {graph.edge_name(*at) for at in np.argwhere(kept).tolist()}
    if graph.n_kv_heads == graph.n_heads:
        assert len(names) == kept.sum() == drawing.n_edges
    pairs = [(edge.source, edge.target, "" if merge else edge.kind) for edge in drawing.edges]
    assert len(set(pairs)) == len(pairs)
    assert all(edge.source.y < edge.target.y for edge in drawing.edges)
    assert all(set(pair[:2]) <= set(drawing.nodes) for pair in pairs)
    places = sorted((node.y, node.x) for node in drawing.nodes)
    apart = [b[1] - a[1] for a, b in pairwise(places) if a[0] == b[0]]
    assert all(gap >= 1 - 1e-9 for gap in apart)
    assert {node.name for node in drawing.nodes} >= {"input", "logits"}


def test_merging_adds_scores_and_keeps_the_strongest_kind() -> None:
    weights = scores(q=-3.0, k=1.0, m=0.5)
    apart = {edge.names[0]: edge for edge in lay_out(circuit(), weights, merge=False).edges}
    assert (apart[EDGES[0]].kind, apart[EDGES[1]].kind) == ("q", "k")
    assert apart[EDGES[0]].strength == 1.0 and apart[EDGES[0]].is_negative
    (one,) = [e for e in lay_out(circuit(), weights, merge=True).edges if len(e.names) == 2]
    assert (one.score, one.kind, one.names) == (-2.0, "q", (EDGES[0], EDGES[1]))
    (plain,) = [e for e in lay_out(circuit(), merge=True).edges if len(e.names) == 2]
    assert (plain.score, plain.kind) == (None, "qkv")
    assert one.label == f"{EDGES[0]}, {EDGES[1]}: -2"


def test_large_circuits_are_merged_by_default() -> None:
    space = ScoreSpace(Graph(n_layers=4, n_heads=3, n_kv_heads=3, d_model=4))
    assert space.n_units > MERGE_ABOVE
    assert lay_out(Circuit.full(space)).merged
    assert not lay_out(circuit()).merged


def test_grouped_keys_feed_every_head_of_their_group_that_sends() -> None:
    graph = Graph(n_layers=1, n_heads=4, n_kv_heads=2, d_model=4)
    shared = Circuit.of_edges(
        graph, ["input->a0.h1<k>", "a0.h2->logits", "a0.h3->logits", "a0.h0->logits"]
    )
    fed = {e.target.name for e in lay_out(shared).edges if e.kind == "k"}
    assert fed == {"a0.h2", "a0.h3"}


def test_circuits_too_large_or_scores_of_another_graph_are_refused() -> None:
    big = Circuit.full(ScoreSpace(Graph(n_layers=12, n_heads=12, n_kv_heads=12, d_model=4)))
    with pytest.raises(OptionError, match="1 to 2000 edges, this circuit has 32491"):
        lay_out(big)
    with pytest.raises(OptionError, match="edge scores over the circuit's own graph"):
        lay_out(circuit(), random_scores())


@pytest.mark.parametrize("scored", [False, True])
def test_svg_shows_nodes_edges_and_legend(scored: bool) -> None:
    drawing = lay_out(circuit(), scores(q=-1.0) if scored else None)
    svg = draw(drawing, ".svg", "a <b> & $x$").decode()
    words = {text.text for text in ElementTree.fromstring(svg).iter() if text.text}
    assert {"input", "a0.h1", "m1", "logits", "into q", "into logits", "a <b> & $x$"} <= words
    assert ("lowers it" in words) == scored
    assert svg == draw(drawing, ".svg", "a <b> & $x$").decode()


def test_dot_by_hand() -> None:
    dot = draw(lay_out(circuit(), scores(q=-1.0)), ".dot", 'x"y').decode()
    assert 'label="x\\"y"' in dot
    arrow = r'"input" -> "a0\.h1" \[color="#\w+", penwidth=4\.00, style=dashed, '
    assert re.search(arrow + r'tooltip="input->a0\.h1<q>: -1"\]', dot)
    assert dot.count(" -> ") == len(EDGES)


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


def test_a_missing_extra_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "harness_circuits.report.drawing.draw_static", None
    )
    with pytest.raises(OptionError, match=r'pip install -e ".*\[report\]"'):
        draw(lay_out(circuit()), ".svg")


def test_a_pdf_is_the_same_each_time(tmp_path: Path) -> None:
    drawing = lay_out(circuit())
    assert draw(drawing, ".pdf").startswith(b"%PDF-")
    assert draw(drawing, ".pdf") == draw(drawing, ".pdf")


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
