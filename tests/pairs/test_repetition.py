"""Repeated pairs, pairs in two sets, single pairs: said on screen, in results and by the API."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_tasks import TASK, documents, evaluate, write_task
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.pairs.repetition import content, overlap_warnings, set_warnings

PAIRS = hc.pairs_from_docs([*documents(0, 4), *documents(1, 4)], "pairs")
DIFFERENT = list({content(pair): pair for pair in PAIRS}.values())


def test_the_order_of_answers_makes_no_other_pair() -> None:
    one = hc.make_pairs(["a"], ["b"], [["x", "y"]], ["z"])[0]
    other = hc.make_pairs(["a"], ["b"], [["y", "x"]], ["z"])[0]
    swapped = hc.make_pairs(["a"], ["b"], ["z"], [["x", "y"]])[0]
    assert content(one) == content(other) != content(swapped)


def test_sets_of_pairs() -> None:
    assert set_warnings(DIFFERENT, "training", "ioi") == []
    (said,) = set_warnings([*DIFFERENT] * 3, "evaluation", "ioi")
    n = len(DIFFERENT)
    assert said == (
        f"ioi: {2 * n} of {3 * n} evaluation pairs repeat another one ({n} are different), and count "
        "as often as they occur; standard errors and intervals are narrower than they may be."
    )
    (said,) = set_warnings(DIFFERENT[:1], "evaluation", "ioi")
    assert "a single evaluation pair" in said
    assert set_warnings([], "training", "ioi") == []
    assert overlap_warnings(DIFFERENT[:3], DIFFERENT[3:], "ioi") == []
    (said,) = overlap_warnings(DIFFERENT[:3], DIFFERENT[1:], "ioi")
    assert said.startswith(f"ioi: 2 of {n - 1} evaluation pairs are also training pairs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


def warnings(folder: Path, tasks: Path, **how: Any) -> list[str]:
    lm = CircuitLM(pretrained=str(folder), method="random", sizes="0.5:1", bootstrap_iters=5)
    facts = evaluate(lm, [TASK], tasks, **how)["config"]["circuit"]["tasks"][TASK]
    found: list[str] = facts["warnings"]
    return found


@pytest.mark.case("duplicate-pairs")
def test_a_run_says_so_on_screen_and_in_its_results(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    docs = documents(0, 4)
    tasks = write_task(tmp_path, train=[*docs, docs[0]], test=[*docs, *docs])
    with caplog.at_level(logging.WARNING, logger="lm_eval.circuit"):
        found = warnings(folder, tasks)
    n = len({content(pair) for pair in hc.pairs_from_docs(docs, "docs")})
    for text in (
        f"{5 - n} of 5 training pairs repeat another one",
        f"{8 - n} of 8 evaluation pairs repeat another one",
        "8 of 8 evaluation pairs are also training pairs",
    ):
        (said,) = [warning for warning in found if text in warning]
        assert said in caplog.text
    (said,) = [w for w in warnings(folder, tasks, limit=1) if "single" in w]
    assert "a single evaluation pair" in said


def test_the_api_says_so(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = hc.load_model(str(folder))
    with caplog.at_level(logging.WARNING, logger="lm_eval.circuit"):
        scores = hc.discover(model, [*DIFFERENT, DIFFERENT[0]], method="random")
    n = len(DIFFERENT)
    text = f"1 of {n + 1} training pairs repeat another one"
    assert text in caplog.text and text in scores.provenance["warnings"][0]
    circuits = hc.select(scores, (0.5, 1.0))
    found = hc.faithfulness(model, DIFFERENT * 2, circuits, training=DIFFERENT[:1])
    texts = (f"{n} of {2 * n} evaluation pairs repeat", f"2 of {2 * n} evaluation pairs are also")
    for text in texts:
        assert text in caplog.text and text in str(found)
        assert any(text in warning for warning in found.warnings)
    assert "warnings" not in hc.discover(model, DIFFERENT, method="random").provenance
