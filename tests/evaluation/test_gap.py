"""The gap that faithfulness divides by: refused where there is none, warned of where it is noise."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_tasks import TASK, documents, evaluate, write_task
from helpers.tiny_tokenizer import save_tiny_model
from scipy import stats

import harness_circuits as hc
from harness_circuits.errors import NumericalError
from harness_circuits.evaluation.gap import check_gap, gap_warnings, measure_gap
from harness_circuits.harness.lm import CircuitLM


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


def test_no_gap_is_refused() -> None:
    with pytest.raises(NumericalError) as error:
        check_gap(np.array([1.0, 3.0]), np.array([3.0, 1.0]), "ioi")
    assert str(error.value) == (
        "ioi: full model and empty circuit have the same mean metric (2; they differ by 0.0e+00, and "
        "rounding alone makes 2.0e-06), so that faithfulness is undefined. The model does not do this "
        "task, or the corruption does not touch it."
    )
    with pytest.raises(NumericalError, match="the same mean metric"):
        check_gap(np.zeros(3), np.zeros(3), "ioi")
    check_gap(np.array([1e-5]), np.array([-1e-5]), "ioi")
    check_gap(np.array([1e-5]), np.array([-1e-5]), "ioi", np.array([6e-6]))
    with pytest.raises(
        NumericalError, match=r"differ by 2.0e-05, and rounding alone makes 2.1e-05"
    ):
        check_gap(np.array([1e-5]), np.array([-1e-5]), "ioi", np.array([7e-6]))


def test_rounding_of_a_mean_falls_with_its_examples() -> None:
    full, empty = np.full(100, 1e-5), np.zeros(100)
    check_gap(full, empty, "ioi", np.full(100, 3e-5))
    with pytest.raises(NumericalError, match=r"rounding alone makes 1\.2e-05"):
        check_gap(full, empty, "ioi", np.full(100, 4e-5))


def test_a_metric_that_is_not_finite_is_refused() -> None:
    with pytest.raises(NumericalError) as error:
        check_gap(np.array([1.0, np.inf]), np.array([0.0, 1.0]), "ioi")
    assert str(error.value) == "ioi: the metric is not finite (full model inf, empty circuit 0.5)."
    with pytest.raises(NumericalError, match=r"not finite \(full model 1.0, empty circuit nan\)"):
        check_gap(np.array([1.0]), np.array([np.nan]), "ioi")


@pytest.mark.parametrize("metric", ["logit_diff", "prob_diff", "kl"])
@pytest.mark.parametrize("difference", [0, 1e-8, 1e-7])
def test_names_that_differ_by_rounding_only_have_no_gap(
    folder: Path, metric: str, difference: float
) -> None:
    """At 1e-7 float32 noise passed for a gap."""
    model, pairs = changed(folder, difference)
    circuits = {1.0: hc.Circuit.full(hc.discover(model, pairs, method="random").space)}
    with pytest.raises(NumericalError, match="the same mean metric"):
        hc.faithfulness(model, pairs, circuits, metric=metric, bootstrap_iters=0)


@pytest.mark.parametrize("metric", ["logit_diff", "prob_diff", "kl"])
def test_names_that_differ_a_little_have_one(folder: Path, metric: str) -> None:
    model, pairs = changed(folder, 1e-2)
    circuits = {1.0: hc.Circuit.full(hc.discover(model, pairs, method="random").space)}
    found = hc.faithfulness(model, pairs, circuits, metric=metric, bootstrap_iters=0).metrics
    assert found["faithfulness@1"] == pytest.approx(1, abs=1e-3)


def changed(folder: Path, difference: float) -> tuple[Any, list[hc.Pair]]:
    """A float32 model whose names differ by so much, and pairs with answers that are no names."""
    model = hc.load_model(str(folder))
    tokenizer, names = model.tokenizer, (" Mary", " John", " Anna", " Tom")
    assert tokenizer is not None and model.dtype == torch.float32
    ids = [tokenizer.encode(name, add_special_tokens=False)[0] for name in names]
    weight = model.hf.get_input_embeddings().weight
    with torch.no_grad():
        noise = torch.randn(weight[ids].shape, generator=torch.Generator().manual_seed(1))
        weight[ids] = weight[ids[0]] + difference * noise
    docs = [{**doc, "choices": [" book", " bag"]} for doc in documents(0, 6)]
    return model, hc.pairs_from_docs(docs, "pairs")


def test_the_interval_is_students() -> None:
    full, empty = np.random.default_rng(0).normal(1, 1, (2, 9))
    gap = measure_gap(full, empty)
    expected = stats.ttest_rel(full, empty).confidence_interval()
    assert (gap.low, gap.high) == pytest.approx((expected.low, expected.high))
    assert np.isnan(measure_gap(full[:1], empty[:1]).error)


def test_the_gap_is_plain_json_also_of_one_pair() -> None:
    gap = measure_gap(np.array([3.0, 4, 5]), np.zeros(3)).to_dict()
    assert gap["value"] == 4 and gap["error"] == pytest.approx(1 / np.sqrt(3))
    one = measure_gap(np.ones(1), np.zeros(1)).to_dict()
    assert json.loads(json.dumps(one)) == {"value": 1, "error": None, "low": None, "high": None}


ONES, ZEROS = np.ones(6), np.zeros(6)
SPREAD = np.array([-1, 1, -1, 1, -1, 1.0])
CASES = [
    (3 + SPREAD, ZEROS, ONES, ZEROS, []),
    (1.5 + SPREAD, ZEROS, ONES, ZEROS, ["is close to 0: less than 4 standard errors"]),
    (0.2 + SPREAD, ZEROS, ONES, ZEROS, ["contains 0: less than 4 standard errors"]),
    (SPREAD - 3, ZEROS, ONES, ZEROS, ["wrong sign: -3 (95% interval -4.15 to -1.85)"]),
    (3 + SPREAD, ZEROS, ONES, ONES, ["is right as often as in the full model (1.00 and 1.00)"]),
    (3 + SPREAD, ZEROS, ONES, ONES - 0.09, ["is right nearly as often as in the full model (0.91"]),
    (3 + SPREAD, ZEROS, ONES, ONES - 0.11, []),
    (3 + SPREAD, ZEROS, ZEROS, ZEROS, []),
    (SPREAD - 3, ZEROS, ONES, ONES, ["wrong sign", "right as often"]),
    (ONES[:1], ZEROS[:1], ONES[:1], ZEROS[:1], []),
]


@pytest.mark.parametrize(("full", "empty", "right", "still", "wanted"), CASES)
def test_gaps_that_say_little(full: Any, empty: Any, right: Any, still: Any, wanted: Any) -> None:
    found = gap_warnings(full, empty, right, still, "ioi")
    assert len(found) == len(wanted)
    for warning, text in zip(found, wanted, strict=True):
        assert text in warning and warning.startswith("ioi: ") and "\n" not in warning


@pytest.mark.case("corruption-without-effect")
def test_a_corruption_without_effect_is_said_on_screen_and_in_the_results(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    docs = [
        {**doc, "choices": [" book", " bag"], "clean": f"The {doc['clean']}", "corrupted": "When"}
        for doc in documents(0, 12)
    ]
    for doc in docs:  # what the model says does not hang on the first word: a random model's luck
        doc["corrupted"] = doc["clean"].replace("The ", "When ", 1)
    tasks = write_task(tmp_path, train=docs, test=docs)
    with caplog.at_level(logging.INFO, logger="lm_eval.circuit"):
        lm = CircuitLM(pretrained=str(folder), method="random", sizes="0.5:1", bootstrap_iters=5)
        facts = evaluate(lm, [TASK], tasks)["config"]["circuit"]["tasks"][TASK]
    said = [warning for warning in facts["warnings"] if "standard errors" in warning
            or "wrong sign" in warning or "as often" in warning]  # fmt: skip
    assert said and all(warning in caplog.text for warning in facts["warnings"])
    line = next(
        at for at, text in enumerate(caplog.messages) if ", evaluation of 4 circuits" in text
    )
    n = len(facts["warnings"])  # they stand right above the table, where they are not overlooked
    assert caplog.messages[line + 1 : line + 1 + n] == facts["warnings"]
    assert "faithfulness by |score|" in caplog.messages[line + 1 + n]
    json.dumps(facts["warnings"])
    assert set(facts["gap"]) == {"value", "error", "low", "high"}
    assert facts["gap"]["low"] < facts["gap"]["value"] < facts["gap"]["high"]
