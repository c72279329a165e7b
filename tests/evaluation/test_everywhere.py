"""Circuits without spans beside circuits over spans, of as many kept contributions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_models import tiny_model
from helpers.tiny_tokenizer import word_tokenizer

import harness_circuits as hc
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.commands.export_mib import read_source
from harness_circuits.errors import CircuitFileError, OptionError
from harness_circuits.evaluation.everywhere import tokens_of_spans
from harness_circuits.evaluation.result import Result, example_records
from harness_circuits.evaluation.summary import summarise, table
from harness_circuits.experiment import Experiment
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair
from harness_circuits.records.artifacts import write_artifacts
from harness_circuits.settings import Settings
from harness_circuits.task_data.marks import marked, with_spans

NAMES = ("Mary", "John", "Anna", "Tom")
SIZES = [0.05, 0.3, 1.0]


def pairs() -> list[Pair]:
    docs = []
    for a in NAMES:
        for b in (name for name in NAMES if name != a):
            other = next(name for name in NAMES if name not in (a, b))
            texts = [
                f"When {marked('IO', a)} and {marked('S1', b)} went to the store "
                f"{marked('S2', last)} said to"
                for last in (b, other)
            ]
            answers = {"choices": [f" {a}", f" {b}"], "correct": [0], "incorrect": [1]}
            docs.append(with_spans({"clean": texts[0], "corrupted": texts[1], **answers}))
    return [Pair.from_doc(doc) for doc in docs]


@pytest.fixture(scope="module")
def model() -> CircuitModel:
    return CircuitModel(tiny_model("gpt2").hf, word_tokenizer(), name="tiny")


@pytest.fixture(scope="module")
def experiment(model: CircuitModel) -> Experiment:
    settings = Settings.from_arguments({"positions": "spans", "method": "EAP", "sizes": SIZES})
    return Experiment(model, settings, pairs()[:6], pairs()[6:])


@pytest.fixture(scope="module")
def result(experiment: Experiment) -> Result:
    return experiment.run()


def test_both_kinds_have_as_many_contributions(experiment: Experiment, result: Result) -> None:
    scores = result.scores
    assert scores is not None and scores.space.spans is not None
    tokens = tokens_of_spans(experiment.evaluation, len(scores.space.spans))
    assert tokens.sum() == len(pairs()[0].clean.split())
    for curve in result.curves:
        beside = curve.everywhere
        assert beside is not None
        for over, plain, n in zip(
            curve.circuits, beside.circuits, beside.contributions, strict=True
        ):
            each = [own * layer.sum() for own, layer in zip(tokens, over.kept, strict=True)]
            assert n == pytest.approx(sum(each))
            assert plain.n_kept <= round(n / tokens.sum())
        assert beside.own == tuple(c.n_kept * tokens.sum() for c in beside.circuits)


def test_their_values_are_those_of_a_run_without_spans(model: CircuitModel, result: Result) -> None:
    for curve in result.curves:
        assert curve.everywhere is not None and curve.plain is not None
        given = dict(zip(SIZES, curve.everywhere.circuits, strict=True))
        alone = hc.faithfulness(model, pairs()[6:], given, bootstrap_iters=0)
        (found,) = alone.curves.values()
        f = (curve.plain.mean(1) - curve.values.empty.mean()) / (
            curve.values.full.mean() - curve.values.empty.mean()
        )
        np.testing.assert_allclose(f, [point.value for point in found.points], atol=1e-9)


def test_what_is_printed_and_filed(result: Result, tmp_path: Path) -> None:
    records = example_records(result, range(6), iters=0, seed=0)
    summary = summarise(list(records.values()))
    text = table(summary)
    for line in ("  edges x tokens", "  as many, no spans", "  over spans and without: cmd "):
        assert line in text
    for ranking in Ranking:
        own = summary.curves[ranking]["everywhere"]
        assert len(own["faithfulness"]) == len(own["contributions"]) == len(own["own"]) == 3
    assert {"cmd", "cmd_log"} <= set(summary.curves[Ranking.ABSOLUTE]["everywhere"])
    write_artifacts(tmp_path, "ioi", result, records.values(), pairs()[6:])
    assert {file.name for file in (tmp_path / "ioi").iterdir()} == {
        *("scores.safetensors", "circuits.safetensors", "view.json"),
        *("examples.jsonl", "SHA256SUMS"),
    }
    rows = [json.loads(row) for row in (tmp_path / "ioi/examples.jsonl").read_text().splitlines()]
    assert [len(row["everywhere"]["absolute"]) for row in rows] == [3] * 6


def test_a_run_over_crossing_edges(model: CircuitModel, result: Result, tmp_path: Path) -> None:
    """The same run with them: edges keep their scores, and files, tables and random circuits hold."""
    arguments = {"positions": "spans", "crossing": True, "method": "EAP", "sizes": SIZES}
    how = {"null_circuits": 1, "evidence": "necessity:incompleteness", "evidence_draws": 2}
    settings = Settings.from_arguments({**arguments, **how})
    found = Experiment(model, settings, pairs()[:6], pairs()[6:]).run()
    assert found.scores is not None and result.scores is not None
    space, n_src = found.scores.space, model.graph.n_src
    assert space.crossing and space.n_units > result.scores.space.n_units
    np.testing.assert_allclose(found.scores.values[:, :n_src], result.scores.values, atol=1e-12)
    for curve in found.curves:
        assert curve.circuits[-1].n_kept == space.n_units
        np.testing.assert_allclose(curve.values.circuits[-1], curve.values.full, atol=1e-12)
        assert curve.everywhere is not None
    records = example_records(found, range(6), iters=0, seed=0)
    assert "as many, no spans" in table(summarise(list(records.values())))
    write_artifacts(tmp_path, "ioi", found, records.values(), pairs()[6:])
    given = hc.load_circuit_file(tmp_path / "ioi/circuits.safetensors#absolute@0.3")
    over = {"positions": "spans", "bootstrap_iters": 0}
    alone = hc.faithfulness(model, pairs()[6:], {0.3: given}, crossing=True, **over)
    with pytest.raises(OptionError, match="give crossing=true as for its discovery"):
        hc.faithfulness(model, pairs()[6:], {0.3: given}, **over)
    with pytest.raises(OptionError, match="no effect on a circuit without crossing edges"):
        plain = result.curves[0].circuits[1]
        hc.faithfulness(model, pairs()[6:], {0.3: plain}, crossing=True, **over)
    (again,) = alone.curves.values()
    (curve,) = (each for each in found.curves if each.ranking is Ranking.ABSOLUTE)
    full, empty = curve.values.full.mean(), curve.values.empty.mean()
    f = (curve.values.circuits[1].mean() - empty) / (full - empty)
    assert again.points[0].value == pytest.approx(f, abs=1e-9)
    with pytest.raises(CircuitFileError, match="crossing edges between spans, which MIB's layout"):
        read_source(f"ioi_gpt2={tmp_path}/ioi")
