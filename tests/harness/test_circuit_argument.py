"""`circuit=` on the tiny model: files with scores and a circuit, and a folder of nine circuits."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.circuit_files import edit_json
from helpers.tiny_tasks import TASK, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.commands.main import main
from harness_circuits.errors import CircuitFileError, OptionError
from harness_circuits.formats import load_circuit_file, read_scores, save_circuit_file
from harness_circuits.formats.mib_folder import SIZES, MibCell, write_submission
from harness_circuits.formats.parts import FIRST_TOKEN
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.options import read_options
from harness_circuits.selection import select


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a task, and scores of one on the other."""
    folder = tmp_path_factory.mktemp("files")
    save_tiny_model(folder / "model")
    write_task(folder)
    run(folder, artifacts=str(folder / "found"), method="EAP", n_discovery=4)
    return folder


def run(folder: Path, **arguments: Any) -> dict[str, Any]:
    return evaluate(CircuitLM(pretrained=str(folder / "model"), **arguments), [TASK], folder)


def scores_of(folder: Path) -> Scores:
    found = load_circuit_file(folder / "found" / TASK / "scores.json")
    assert isinstance(found, Scores)
    return found


@pytest.mark.case("eapig-saved-circuit")
@pytest.mark.parametrize("suffix", [".json", ".pt"])
def test_what_was_read_of_both_is_said_and_can_be_chosen(
    folder: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    scores = scores_of(folder)
    (circuit,) = select(scores, [25], ranking=Ranking.ABSOLUTE)
    file = save_circuit_file(folder / f"both{suffix}", replace(scores, circuit=circuit))
    with caplog.at_level(logging.WARNING):
        results = run(folder, circuit=str(file), sizes="0.1:1")
    n, total = circuit.n_kept, scores.space.n_units
    text = (
        f"{n} of {total} edges are marked in_graph; the file has scores, which are used: circuit="
    )
    assert text in caplog.text
    given = results["config"]["circuit"]["given"]
    assert (given["kind"], given["beside"].startswith(text)) == ("scores", True)
    caplog.clear()
    results = run(folder, circuit=f"{file}#in_graph")
    assert "marked in_graph;" not in caplog.text
    given = results["config"]["circuit"]["given"]
    assert (given["kind"], given["beside"]) == ("circuit", None)
    alone = save_circuit_file(folder / f"alone{suffix}", circuit)
    found, expected = values(results), values(run(folder, circuit=str(alone)))
    assert found == expected
    assert any(name.startswith("faithfulness@") for name in found)


def test_a_folder_of_nine_circuits_is_a_curve(folder: Path) -> None:
    scores = scores_of(folder)
    counts = [int(size * scores.space.n_units) for size in SIZES]
    curves = {
        ranking: dict(zip(SIZES, select(scores, counts, ranking=ranking), strict=True))
        for ranking in Ranking
    }
    cell = MibCell("ioi", "gpt2")
    both = write_submission(folder / "both_rankings", {cell: curves}) / cell.folder
    expected = values(
        run(folder, circuit=str(folder / "found" / TASK / "scores.json"), compat="mib")
    )
    found = values(run(folder, circuit=str(both), compat="mib"))
    assert found == pytest.approx(expected, abs=1e-6)
    one = write_submission(folder / "one", {cell: curves[Ranking.ABSOLUTE]}, "pt") / cell.folder
    same = values(run(folder, circuit=str(one), compat="mib"))
    for name in ("cmd", "cmd_log"):
        assert same[name] == pytest.approx(found[name], abs=1e-6)
    f = [same[f"faithfulness@{size:g}"] for size in (*SIZES, 1)]
    steps = [b - a for a, b in zip(SIZES, (*SIZES[1:], 1), strict=True)]
    area = sum(step * (a + b) / 2 for step, a, b in zip(steps, f, f[1:], strict=False))
    assert same["cpr"] == pytest.approx(area, abs=1e-6)
    with pytest.raises(CircuitFileError, match=r"config\.yaml: a circuit file ends in \.json, "):
        (folder / "config.yaml").write_text("{}")
        read_options({"circuit": str(folder / "config.yaml")})
    with pytest.raises(OptionError, match="there is no such file"):
        CircuitLM(pretrained=str(folder / "model"), circuit=str(folder / "nothing"))


def as_of_others(file: Path) -> Path:
    """The file without our entry, as EAP-IG writes it."""
    return edit_json(file, lambda data: None)


def test_the_first_token_behind_files_of_others_is_said_once(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scores = scores_of(folder)
    ours = save_circuit_file(tmp_path / "ours.json", scores)
    theirs = as_of_others(save_circuit_file(tmp_path / "theirs.json", scores))
    counts = [int(size * scores.space.n_units) for size in SIZES]
    chosen = select(scores, counts, ranking=Ranking.ABSOLUTE)
    circuits = dict(zip(SIZES, chosen, strict=True))
    cell = MibCell("ioi", "gpt2")
    nine = write_submission(tmp_path / "nine", {cell: circuits}) / cell.folder
    for size in (0.2, 0.5):  # smaller ones of this graph are empty, which no file of theirs is
        as_of_others(nine / f"circuit_{size:g}.json")
    for circuit, options, told in (
        (ours, {}, 0),
        (theirs, {}, 1),
        (f"{theirs}#scores", {}, 1),
        (nine, {}, 1),
        (theirs, {"compat": "mib"}, 0),
        (nine, {"compat": "mib"}, 0),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            section = run(folder, circuit=str(circuit), **options)["config"]["circuit"]
        assert caplog.text.count(FIRST_TOKEN) == told, circuit
        note = section["given"]["note"]
        assert note == (f"{FIRST_TOKEN}, here they have none" if told else None)
        assert (section["first_token"] is None) == (not options)


def test_scores_found_on_other_terms_are_said(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the same shape, but another model's, or of prompts with another first token."""
    own = folder / "found" / TASK
    elsewhere = read_scores(own / "scores.safetensors").describe(model="elsewhere")
    other = save_circuit_file(tmp_path / "other.safetensors", elsewhere)
    for circuit, options, note in (
        (own, {}, None),
        (other, {}, "found on elsewhere, evaluated on model"),
        (
            own / "scores.safetensors",
            {"compat": "mib"},
            "found on prompts whose first token was none, evaluated with {'ids': [0], ",
        ),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            lm = CircuitLM(pretrained=str(folder / "model"), circuit=str(circuit), **options)
        assert lm.circuit.given is not None
        said = lm.circuit.given.note  # in the results as it is: see above
        assert said is None if note is None else said.startswith(note), said
        assert ("found on" in caplog.text) == (note is not None)


def test_readers_without_a_model_say_it_too(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = save_circuit_file(tmp_path / "ours.json", scores_of(folder))
    theirs = as_of_others(save_circuit_file(tmp_path / "theirs.json", scores_of(folder)))
    for file, told in ((ours, 0), (theirs, 1)):
        caplog.clear()
        load_circuit_file(file)
        assert caplog.text.count(FIRST_TOKEN) == told
        caplog.clear()
        assert main(["draw", str(file), "--output", str(tmp_path / "drawn.dot")]) == 0
        assert caplog.text.count(FIRST_TOKEN) == told
