"""The short table: every number that it prints stands in the results, in its row."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_tasks import TASK, evaluate, write_task
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.evaluation.curve import AREAS
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.records.short_table import short_table
from harness_circuits.statistics.ratio import student_quantile

OTHER = "tiny_other"


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> CircuitLM:
    folder = save_tiny_model(tmp_path_factory.mktemp("model"), "llama")
    return CircuitLM(pretrained=str(folder), sizes="0.1:0.5:1", method="EAP")


@pytest.fixture(scope="module")
def results(lm: CircuitLM, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = write_task(tmp_path_factory.mktemp("tasks"))
    write_task(folder, task=OTHER, metric="prob_diff")
    return evaluate(lm, [TASK, OTHER], folder, bootstrap_iters=100)


def rows(text: str) -> dict[str, list[str]]:
    """Cells by their row's name; of a table as of one task, whose second line is a rule."""
    lines = [line.replace("|", " ").split() for line in text.splitlines() if "---" not in line]
    return {name: cells for name, *cells in filter(None, lines)}


def test_one_task_has_a_row_per_metric_with_its_interval(results: dict[str, Any]) -> None:
    found, table = results["results"][TASK], rows(short_table(results, [TASK]))
    beside = ["acc_log_signed", "exceeds_signed"]  # CPR rewards circuits that exceed the model
    assert list(table) == [TASK, "acc", "loglikelihood_diff", "cpr", *beside, "cmd", "cmd_log"]
    for name in beside:
        ends = (f"{found[f'{name}{end},none']:.3f}" for end in ("", "_ci95_low", "_ci95_high"))
        assert [cell for cell in table[name] if cell not in ("↑", "to")] == list(ends)
    for name, area in AREAS.items():
        ends = (f"{found[f'{name}_ci95_{end},none']:.3f}" for end in ("low", "high"))
        low, high = ends
        arrow = "↑" if area.higher_is_better else "↓"
        assert table[name] == [arrow, f"{found[f'{name},none']:.3f}", low, "to", high]
    value, error = (found[f"loglikelihood_diff{x},none"] for x in ("", "_stderr"))
    half = student_quantile(5) * error
    ends = [f"{value - half:.3f}", "to", f"{value + half:.3f}"]
    assert table["loglikelihood_diff"] == ["↑", f"{value:.3f}", *ends]
    accuracy = results["config"]["circuit"]["tasks"][TASK]["accuracy"]
    assert found["acc,none"] == accuracy["value"]
    assert table["acc"][2] == f"{accuracy['low']:.3f}"
    lines = short_table(results, [TASK]).splitlines()
    assert {line.count("|") for line in lines} == {5} and len(set(map(len, lines))) == 1


def test_several_tasks_have_a_row_each(results: dict[str, Any]) -> None:
    text = short_table(results, [TASK, OTHER])
    head, first, second, note = text.splitlines()
    assert head.split()[-10:] == "acc ↑ behaviour ↑ cpr ↑ cmd ↓ cmd_log ↓".split()
    for line, task in ((first, TASK), (second, OTHER)):
        name, *cells = line.split()
        found = results["results"][task]
        assert (name, len(cells)) == (task, 10)
        assert cells[4] == f"{found['cpr,none']:.3f}"
        half = (found["cpr_ci95_high,none"] - found["cpr_ci95_low,none"]) / 2
        assert cells[5] == f"±{half:.3f}"
    assert note.startswith("behaviour: loglikelihood_diff, or prob_diff")


def test_without_intervals_there_are_values(results: dict[str, Any]) -> None:
    alone = copy.deepcopy(results)
    for name in alone["results"][TASK]:
        if "_ci95_" in name:
            alone["results"][TASK][name] = None
    alone["results"][TASK]["loglikelihood_diff_stderr,none"] = "N/A"
    table = rows(short_table(alone, [TASK]))
    assert [len(table[name]) for name in ("loglikelihood_diff", "cpr", "cmd")] == [2, 2, 2]
    assert "±" not in short_table(alone, [TASK, OTHER]).splitlines()[1].split("0.400")[1][8:]


def test_of_one_size_the_points_are_shown(lm: CircuitLM, tmp_path: Path) -> None:
    lm = lm.with_arguments(**{"pretrained": lm.options.model["pretrained"], "sizes": "0.5"})
    results = evaluate(lm, [TASK], write_task(tmp_path))
    table = rows(short_table(results, [TASK]))
    assert list(table)[3:] == ["faithfulness@0.5", "faithfulness_signed@0.5"]
