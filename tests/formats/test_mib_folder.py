"""The MIB submission folder, the command that writes it, and the artifacts it is made from."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.mib_cells import CELLS, GRAPH, artifacts, random_scores, top, tree

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.errors import CircuitFileError, OptionError, UnknownNameError
from harness_circuits.formats import (
    load_circuit_file,
    read_circuits,
    read_scores,
    save_circuit_file,
)
from harness_circuits.formats.mib_folder import (
    SIZES,
    MibCell,
    check_submission,
    read_cell,
    write_submission,
)
from harness_circuits.selection.given import Given


def nine(scores: Scores) -> dict[float, Circuit]:
    return {size: top(scores, size) for size in SIZES}


@pytest.mark.parametrize("file_format", ["json", "pt"])
def test_importances_one_file_per_cell(tmp_path: Path, file_format: str) -> None:
    folder = write_submission(tmp_path / "out", CELLS, file_format)
    names = ("arc-easy_llama3", "ioi_gpt2")
    assert tree(tmp_path) == [f"out/{name}/importances.{file_format}" for name in names]
    for cell, scores in CELLS.items():
        found = load_circuit_file(folder / cell.folder / f"importances.{file_format}", GRAPH)
        assert isinstance(found, Scores)
        np.testing.assert_array_equal(found.values, scores.values)
    assert check_submission(CELLS) == []
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((folder / names[0]).stat().st_mode)


def test_nine_circuits_per_cell(tmp_path: Path) -> None:
    circuits = nine(random_scores())
    folder = write_submission(tmp_path / "out", {MibCell("ioi", "gpt2"): circuits}, "pt")
    assert tree(folder) == sorted(f"ioi_gpt2/circuit_{size:g}.pt" for size in SIZES)
    for size, circuit in circuits.items():
        found = load_circuit_file(folder / f"ioi_gpt2/circuit_{size:g}.pt", GRAPH)
        assert isinstance(found, Circuit)
        np.testing.assert_array_equal(found.kept, circuit.kept)


def test_one_model_or_task_and_unknown_names_are_warnings() -> None:
    one, two, three = check_submission({MibCell("ioi", "gpt3"): random_scores()})
    assert one.startswith("MIB asks for at least 2 models; there is only gpt3.")
    assert two.startswith("MIB asks for at least 2 tasks; there is only ioi.")
    assert three.startswith("ioi_gpt3: MIB has no model 'gpt3' (it has gemma2, gpt2,")


def test_what_is_no_submission_is_refused(tmp_path: Path) -> None:
    cell = MibCell("ioi", "gpt2")
    circuits = nine(random_scores())
    with pytest.raises(CircuitFileError, match=r"nine sizes 0.001, .*, 0.5; got 0.001"):
        check_submission({cell: {0.001: circuits[0.001]}})
    with pytest.raises(CircuitFileError, match=r"the circuit of size 0.1 keeps \d+ edges; MIB al"):
        check_submission({cell: {**circuits, 0.1: circuits[0.2]}})
    with pytest.raises(OptionError, match="There is nothing to export"):
        check_submission({})
    with pytest.raises(OptionError, match=r"Unknown format 'csv'. Known: json, pt"):
        write_submission(tmp_path / "out", CELLS, "csv")
    for name in ("ioi", "_gpt2", "ioi_", "../x_gpt2", ".ioi_gpt2"):
        with pytest.raises(OptionError, match="is no folder name of the kind TASK_MODEL"):
            MibCell.parse(name)
    assert MibCell.parse("arithmetic_addition_llama3").folder == "arithmetic-addition_llama3"


def test_all_or_nothing(tmp_path: Path) -> None:
    grouped = random_scores(0, replace(GRAPH, n_kv_heads=2))
    with pytest.raises(CircuitFileError, match="cannot be written for EAP-IG or MIB"):
        write_submission(tmp_path / "out", {**CELLS, MibCell("mcqa", "gpt2"): grouped})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    with pytest.raises(OptionError, match="out exists already; name a new folder"):
        write_submission(tmp_path / "out", CELLS)
    assert tree(tmp_path) == []


def test_artifacts_hold_scores_twice_and_circuits(tmp_path: Path) -> None:
    scores = random_scores(model="gpt2", task="ioi")
    folder = artifacts(tmp_path, "ioi", scores)
    assert tree(folder) == [
        "SHA256SUMS",
        "circuits.safetensors",
        "examples.jsonl",
        "scores.json",
        "scores.safetensors",
        "view.json",
    ]
    np.testing.assert_array_equal(read_scores(folder / "scores.safetensors").values, scores.values)
    found = load_circuit_file(folder / "scores.json", GRAPH)
    assert isinstance(found, Scores)
    np.testing.assert_array_equal(found.values, scores.values)
    circuits = read_circuits(folder / "circuits.safetensors")
    assert set(circuits) == {f"absolute@{size:g}" for size in MIB_SIZES}
    np.testing.assert_array_equal(circuits["absolute@0.05"].kept, top(scores, 0.05).kept)


def test_artifacts_over_grouped_heads_have_no_mib_file(tmp_path: Path) -> None:
    folder = artifacts(tmp_path, "ioi", random_scores(0, replace(GRAPH, n_kv_heads=2)))
    assert "scores.json" not in tree(folder)
    assert read_scores(folder / "scores.safetensors").space.graph.n_kv_heads == 2


# --- reading a cell's folder as MIB evaluates it ---


def test_a_folder_of_nine_circuits_is_read_as_a_curve(tmp_path: Path) -> None:
    circuits = nine(random_scores())
    cell = write_submission(tmp_path / "out", {MibCell("ioi", "gpt2"): circuits}, "pt") / "ioi_gpt2"
    for at, size in enumerate(reversed(SIZES)):  # names say nothing, the number of edges does
        (cell / f"circuit_{size:g}.pt").rename(cell / f"{at}.pt")
    (cell / "README.md").write_text("of no concern")
    found = read_cell(cell, GRAPH)
    assert isinstance(found, dict)
    for ranking in Ranking:
        assert tuple(found[ranking]) == MIB_SIZES
        for size, circuit in circuits.items():
            np.testing.assert_array_equal(found[ranking][size].kept, circuit.kept)
        assert found[ranking][1.0].n_kept == GRAPH.n_edges


def test_both_rankings_stand_in_folders_of_their_own(tmp_path: Path) -> None:
    curves = {ranking: nine(random_scores(at)) for at, ranking in enumerate(Ranking)}
    folder = write_submission(tmp_path / "out", {MibCell("ioi", "gpt2"): curves}) / "ioi_gpt2"
    assert len(tree(folder)) == 18
    assert {path.split("/")[0] for path in tree(folder)} == {"abs-True", "abs-False"}
    found = read_cell(folder, GRAPH)
    assert isinstance(found, dict)
    for ranking, circuits in curves.items():
        for size, circuit in circuits.items():
            np.testing.assert_array_equal(found[ranking][size].kept, circuit.kept)
    given = Given.of_curves(found)
    assert given.sizes((0.5,)) == MIB_SIZES
    for wanted in ((Ranking.SIGNED,), tuple(Ranking)):
        chosen = given.circuits(MIB_SIZES, wanted, "top-n")
        assert set(chosen) == set(wanted)
        for ranking in wanted:
            assert chosen[ranking] == list(found[ranking].values())
    (folder / "abs-True").rename(folder / "other")
    with pytest.raises(
        CircuitFileError, match=r"in abs-True and abs-False, .* got abs-False and 0"
    ):
        read_cell(folder, GRAPH)


def test_what_is_no_cell_is_refused(tmp_path: Path) -> None:
    circuits = nine(random_scores())
    folder = write_submission(tmp_path / "out", {MibCell("ioi", "gpt2"): circuits}) / "ioi_gpt2"
    save_circuit_file(folder / "circuit_0.2.json", circuits[0.5])
    with pytest.raises(
        CircuitFileError, match=r"the circuit of size 0.2 keeps \d+ edges; MIB allows"
    ):
        read_cell(folder, GRAPH)
    save_circuit_file(folder / "circuit_0.2.json", Circuit.empty(ScoreSpace(GRAPH, "node")))
    with pytest.raises(CircuitFileError, match="mixes circuits of levels edge, node"):
        read_cell(folder, GRAPH)
    save_circuit_file(folder / "circuit_0.2.json", random_scores())
    with pytest.raises(UnknownNameError, match=r"circuit_0.2.json has 1 part.* \(got 'in_graph'\)"):
        read_cell(folder, GRAPH)
    (folder / "circuit_0.2.json").unlink()
    with pytest.raises(
        CircuitFileError, match=r"has 8 .json and .pt files; MIB's folders hold one"
    ):
        read_cell(folder, GRAPH)
    only = write_submission(tmp_path / "b", {MibCell("ioi", "gpt2"): random_scores()}) / "ioi_gpt2"
    assert read_cell(only, GRAPH) == only / "importances.json"
