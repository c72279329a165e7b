"""What the command line prints at the end: our table, lm-eval's for all else, and what comes next."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.tiny_tasks import TASK, evaluate, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.commands.main import load_command
from harness_circuits.harness import closing
from harness_circuits.harness.closing import (
    NOTHING_SAVED,
    closing_lines,
    save_and_note,
    table_of_our_own,
    why_lost,
)
from harness_circuits.harness.lm import CircuitLM


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, str]:
    """Results of a run with artifacts, its folder, and what was logged."""
    folder = tmp_path_factory.mktemp("run")
    model = save_tiny_model(folder / "model", "llama")
    lm = CircuitLM(
        pretrained=str(model), artifacts=str(folder / "art"), method="EAP", sizes="0.5:1"
    )
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("lm_eval.circuit")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        results = evaluate(lm, [TASK], write_task(folder))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return results, folder, "\n".join(lines)


def plain_table(results: dict[str, Any], column: str = "results") -> str:
    return f"{column}: {sorted(results[column])}"


def save(results: dict[str, Any], output: Path | None) -> None:
    """As lm-eval's command line does, with its own tracker."""
    from lm_eval.loggers import EvaluationTracker

    original = EvaluationTracker.save_results_aggregated
    original = getattr(original, "__wrapped__", original)
    tracker = EvaluationTracker(output_path=None if output is None else str(output))
    tracker.general_config_tracker.model_name_sanitized = "tiny"
    save_and_note(original, tracker, results=dict(results), samples=None)


def test_the_strongest_units_come_after_the_curve_and_into_the_results(run) -> None:
    results, _, logged = run
    assert logged.index("faithfulness by |score|") < logged.index("strongest edges")
    found = results["config"]["circuit"]["tasks"][TASK]["strongest"]
    assert (found["level"], found["known"]) == ("edge", None)
    assert len(found["units"]) == len(found["nodes"]) == 10
    assert all(unit["unit"] in logged for unit in found["units"])
    assert "cuda" not in logged


def test_circuit_tasks_have_our_table_and_others_lm_evals(run) -> None:
    results, _, _ = run
    text = table_of_our_own(plain_table, results)
    assert len(text.splitlines()) == 10 and TASK in text and "results:" not in text
    mixed = {**results, "results": {**results["results"], "arc_easy": {"acc,none": 0.5}}}
    text = table_of_our_own(plain_table, mixed)
    assert text.endswith("results: ['arc_easy']") and "cmd_log" in text
    group = {**results, "groups": {"group": {}}}
    assert table_of_our_own(plain_table, group, "groups") == "groups: ['group']"
    other = {**results, "config": {"model": "hf"}}
    assert table_of_our_own(plain_table, other) == f"results: ['{TASK}']"


@pytest.mark.parametrize("suffix", ["", ".json"])
def test_saved_paths_and_commands_that_work_are_printed(run, tmp_path: Path, suffix: str) -> None:
    results, folder, _ = run
    save(results, tmp_path / f"out{suffix}")
    lines = closing_lines()
    names = [line.split()[0] for line in lines[:3]]
    assert names == ["results", "artifacts", "next"]
    assert Path(lines[0].split()[1]).is_file()
    assert lines[1].split()[1] == f"{folder / 'art' / TASK}:"
    assert (folder / "art" / TASK / "scores.safetensors").is_file()
    for line in lines[2:]:
        command, *arguments = line.split("harness-circuits ")[1].split()
        pytest.importorskip("plotly")
        output = [
            "--output",
            str(tmp_path / "made.svg" if command == "draw" else tmp_path / "made"),
        ]
        load_command(command)([arguments[0], *output])
    assert closing_lines() == [], "a run is told of once"


def test_where_nothing_is_saved_it_is_said_how(run) -> None:
    results, _, _ = run
    circuit = {**results["config"]["circuit"], "artifacts": None}
    unsaved = {**results, "config": {**results["config"], "circuit": circuit}}
    save(unsaved, None)
    assert closing_lines() == [NOTHING_SAVED]
    save({**results, "config": {"model": "hf"}}, None)
    assert closing_lines() == []


@pytest.mark.parametrize("what", ["no folder", "cut off"])
def test_results_that_could_not_be_saved_are_not_passed_over(
    run, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm-eval logs a warning and ends with exit code 0."""
    results, _, _ = run
    where = tmp_path / "out"
    if what == "no folder":
        where.write_text("a file")
        reason = f"{where} cannot be written: "
    else:
        whole = Path.write_text
        monkeypatch.setattr(Path, "write_text", lambda path, text, **kw: whole(path, text[:99]))
        reason = f"The results could not be saved in {where}: "
    save(results, where)
    assert why_lost().startswith(reason)
    lines = closing_lines()
    assert lines[0] == f"results    not saved in {where}"
    assert not any("leaderboard" in line for line in lines)
    assert not list(tmp_path.rglob("*.json"))
    monkeypatch.undo()
    save(results, tmp_path / "elsewhere")
    assert why_lost() == "" and "not saved" not in closing_lines()[0]


def test_paths_with_spaces_are_quoted_and_the_program_is_found(monkeypatch, tmp_path) -> None:
    saved = closing.Saved(("a task",), tmp_path / "r.json", Path("my results"), Path("my art"))
    monkeypatch.setattr(closing, "_last", [saved])
    monkeypatch.setattr(closing.shutil, "which", lambda name: None)
    monkeypatch.setattr(closing, "sys", SimpleNamespace(executable=str(tmp_path / "bin/python")))
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "bin" / "harness-circuits"
    program.parent.mkdir()
    program.touch()
    assert closing_lines()[2:] == [
        "next       bin/harness-circuits draw 'my art/a task' --output circuit.html",
        "           bin/harness-circuits leaderboard 'my results'",
    ]
