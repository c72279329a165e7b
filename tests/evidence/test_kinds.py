"""Evidence as an option: names, costs said beforehand, where it stands, and that it can be read again."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.evidence_cases import additive, edge_space, world
from helpers.tiny_tasks import TASK, documents, evaluate, write_task
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.errors import CircuitError, NumericalError, UnknownNameError
from harness_circuits.evaluation.null_circuits import random_circuit
from harness_circuits.evidence import EVIDENCE, chosen_kinds, gather, groups
from harness_circuits.evidence.kinds import Plan, announcement
from harness_circuits.experiment import Experiment
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.records.results_file import read_results
from harness_circuits.settings import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def model(folder: Path) -> CircuitModel:
    return hc.load_model(str(folder), device="cpu")


def test_names_are_kinds_or_groups() -> None:
    assert set(groups()["all"]) == set(EVIDENCE)
    assert chosen_kinds(["all", "necessity"]) == groups()["all"]
    settings = Settings.from_arguments({"evidence": "necessity:incompleteness:necessity"})
    assert settings.evidence == ("necessity", "incompleteness")
    assert settings.to_dict()["evidence"] == ["necessity", "incompleteness"]
    with pytest.raises(UnknownNameError, match=r"^Unknown kind of evidence .neccessity.\. Did you"):
        Settings.from_arguments({"evidence": "neccessity"})
    with pytest.raises(
        CircuitError, match=r"^evidence is kinds of evidence, for example evidence="
    ):
        Settings.from_arguments({"evidence": 3})


def test_what_is_said_beforehand_is_no_less_than_what_is_run() -> None:
    """Circuits that kinds which discover nothing run beside the curves, counted one kind at a time."""
    chosen = [random_circuit(edge_space(), n, n) for n in (8, 20, 40)]
    for name in EVIDENCE:
        plan = Plan(points=3, draws=4, variations=2, templates=3)
        cost = EVIDENCE.get(name).cost(plan)
        (line,) = announcement([name], plan)
        assert line.startswith(f"evidence={name}: ")
        assert (f"{cost.circuits:,} circuits on every" in line) == bool(cost.circuits)
        assert (f"{cost.discoveries:g} more discoveries" in line) == bool(cost.discoveries)
        if EVIDENCE.get(name).extras or EVIDENCE.get(name).samples:
            continue
        asked: list[int] = []
        subject = world(lambda c: c.n_kept / 100, chosen, n=6, draws=4)
        subject.remember(chosen, subject.evaluate(chosen))
        counted = counting(subject.evaluate, asked)
        gather([name], replace(subject, evaluate=counted))
        assert sum(asked) <= cost.circuits and bool(asked) == bool(cost.circuits)


def counting(evaluate: Any, asked: list[int]) -> Any:
    def run(circuits: Any) -> Any:
        asked.append(len(circuits))
        return evaluate(circuits)

    return run


def test_circuits_of_a_kind_are_run_together() -> None:
    """One call for each circuit of the curves: what a call does beside its circuits is done once."""
    chosen = [random_circuit(edge_space(), n, n) for n in (8, 20)]
    for name in ("incompleteness", "minimality", "sufficiency", "partial-necessity"):
        asked: list[int] = []
        subject = world(lambda c: c.n_kept / 100, chosen, n=6, draws=4)
        gather([name], replace(subject, evaluate=counting(subject.evaluate, asked)))
        assert len(asked) == len(chosen), name


def test_random_circuits_of_the_curves_are_not_run_again(model: CircuitModel) -> None:
    pairs = pairs_from_docs(documents(0, 8), "tiny")
    how = {"method": "EAP", "sizes": (0.2, 0.6), "bootstrap_iters": 20, "null_circuits": 3}
    run = []
    for more in ({}, {"evidence": "sufficiency", "evidence_draws": 5}):
        model.counts.clear()
        settings = Settings.from_arguments({**how, **more})
        found = Experiment(model, settings, pairs[:4], pairs[4:]).run()
        run.append(model.counts["circuits"])
    random = 2 * 2 * 2  # two more of each circuit, by two rankings; and the empty one of each call
    assert run[1] - run[0] <= random + 4
    curve = found.curves[0]
    even = np.full(4, 1 / 4)
    gap = (even @ curve.values.full) - (even @ curve.values.empty)
    for at, one in enumerate(found.facts["evidence"]["sufficiency"]["circuits"][:2]):
        own, *random = (
            abs(1 - (even @ (values - curve.values.empty)) / gap)
            for values in (curve.values.circuits[at], *curve.null[at])
        )
        beaten = sum(distance > own for distance in random)
        assert one["random_circuits"] == 5
        assert beaten <= 5 * one["share_beaten"] <= beaten + 2


def test_a_kind_without_numbers_leaves_the_others() -> None:
    circuit, effect = additive({"input->a0.h0<v>": 0.5, "a0.h0->logits": 0.5})
    subject = world(effect, [circuit], draws=2)

    def broken() -> Any:
        raise NumericalError("All scores are zero.")

    extras = {
        "variations": {"seed=1": broken, "seed=2": lambda: {Ranking.ABSOLUTE: [circuit]}},
        "templates": (["a", "a", "b", "b"], ["a", "a", "b", "b"]),
        "discover": lambda numbers: broken(),
    }
    found = gather(["rephrasing", "rediscovery", "necessity"], replace(subject, extras=extras))
    assert found["rephrasing"]["why_not"] == "All scores are zero."
    (line,) = found["rephrasing"]["summary"]
    assert line == "evidence=rephrasing is not defined here: All scores are zero."
    (change,) = found["rediscovery"]["changes"]
    assert change["change"] == "seed=2" and change["circuits"][0]["overlap"] == 1
    assert "rediscovery with seed=1 is not defined here: All" in found["rediscovery"]["summary"][1]
    assert found["necessity"]["curves"]["absolute"]["faithfulness"] == pytest.approx([0])


def test_whole_models_and_empty_circuits_have_no_evidence(model: CircuitModel) -> None:
    docs = [{**doc, "template": at % 2} for at, doc in enumerate(documents(0, 12))]
    options = {"method": "EAP-IG-inputs", "ig_steps": 1, "sizes": (1.0,), "evidence": "all"}
    settings = Settings.from_arguments({**options, "bootstrap_iters": 20, "evidence_draws": 2})
    run = Experiment(model, settings, *(pairs_from_docs(d, "tiny") for d in (docs[:6], docs[6:])))
    found = run.run().facts["evidence"]
    assert set(found) == set(EVIDENCE)
    for name, one in found.items():
        assert not one.get("circuits") and not one.get("changes"), name
    assert "there is no circuit" in found["rephrasing"]["summary"][0]


def test_resamples_without_spread_are_counted_and_said() -> None:
    circuit, _ = additive({"input->a0.h0<v>": 0.5, "a0.h0->logits": 0.5})
    generator = np.random.default_rng(0)
    noisy = {3: generator.normal(0.5, 0.2, 3), 40: generator.normal(0.5, 0.2, 40)}
    for kind in ("necessity", "incompleteness"):
        few, many = (
            gather([kind], world(lambda c, n=n: noisy[n] * c.n_kept, [circuit], n)) for n in noisy
        )
        n = few[kind]["resamples_without_spread"]
        assert 0 < n <= 100  # of those of the same pair three times there are a ninth
        assert few[kind]["summary"][-1] == (
            f"{kind}, intervals: {n} resamples have no spread, and are left out"
        )
        assert "resamples_without_spread" not in many[kind] and many[kind]["seconds"] >= 0


def test_evidence_in_python(model: CircuitModel, caplog: pytest.LogCaptureFixture) -> None:
    pairs = pairs_from_docs(documents(0, 8), "tiny")
    scores = hc.discover(model, pairs[:4], method="EAP")
    circuits = hc.select(scores, (0.2, 0.6, 1.0))
    how = {"bootstrap_iters": 50, "evidence_draws": 3}
    with caplog.at_level(logging.INFO, "lm_eval.circuit"):
        result = hc.faithfulness(model, pairs[4:], circuits, evidence=["necessity"], **how)
    assert "evidence=necessity: 3 circuits on every evaluation pair (the curves: 3" in caplog.text
    curve = result.evidence["necessity"]["curves"]["absolute"]
    assert curve["necessity"][-1] == pytest.approx(1)
    assert "f without, by |score|" in str(result)
    assert result.metrics == hc.faithfulness(model, pairs[4:], circuits, **how).metrics


def test_evidence_in_results_and_back(folder: Path, tmp_path: Path) -> None:
    from harness_circuits.harness.lm import CircuitLM

    task = tmp_path / "task"
    task.mkdir()
    arguments: dict[str, Any] = {"sizes": "0.3:1", "evidence": "necessity", "method": "EAP"}
    model = CircuitLM(pretrained=str(folder), device="cpu", **arguments)
    results = evaluate(model, [TASK], include=write_task(task))
    found = results["config"]["circuit"]["tasks"][TASK]
    assert json.loads(json.dumps(found["evidence"])) == found["evidence"]
    assert set(found["evidence"]["necessity"]["curves"]) == {"absolute", "signed"}
    path = tmp_path / "results_1.json"
    path.write_text(json.dumps(results, default=str))
    (run,) = read_results([path]).runs
    assert run.evidence == found["evidence"]
    assert run.settings["evidence"] == ["necessity"]
    assert set(run.curves) == set(Ranking)
