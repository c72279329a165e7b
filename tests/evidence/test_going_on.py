"""A run with evidence that was stopped goes on: nothing is run again, and nothing is mixed up."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.evaluation.result import Result
from harness_circuits.experiment import Experiment
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.settings import Settings
from harness_circuits.studies import gathering, going_on

OPTIONS = {"method": "EAP", "sizes": (0.2, 0.6), "ranking": "absolute", "bootstrap_iters": 20}
KINDS = "necessity:incompleteness:sufficiency:minimality"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> CircuitModel:
    folder: Path = save_tiny_model(tmp_path_factory.mktemp("model"), "llama")
    return hc.load_model(str(folder), device="cpu", dtype="float64")


@pytest.fixture
def model(loaded: CircuitModel, monkeypatch: pytest.MonkeyPatch) -> CircuitModel:
    monkeypatch.setattr(going_on, "TOGETHER", 4)
    loaded.counts.clear()
    return loaded


def run(model: CircuitModel, folder: Path | None, first: int = 0, **more: Any) -> Result:
    model.counts.clear()
    settings = Settings.from_arguments({**OPTIONS, "evidence": KINDS, "evidence_draws": 5, **more})
    pairs = pairs_from_docs(documents(0, 14), "tiny")
    half = pairs[first : first + 5], pairs[first + 5 : first + 10]
    return Experiment(model, settings, *half, task="tiny", folder=folder).run()


def told(result: Result) -> Any:
    """Its evidence, without how long it took."""
    found = json.loads(json.dumps(result.facts["evidence"]))
    return {name: {k: v for k, v in one.items() if k != "seconds"} for name, one in found.items()}


def about(value: Any) -> Any:
    """The same but for rounding, which differs where other circuits run beside one."""
    if isinstance(value, dict):
        return {name: about(one) for name, one in value.items()}
    if isinstance(value, list):
        return [about(one) for one in value]
    return pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value


def test_a_stopped_run_goes_on(
    model: CircuitModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(model, None)
    everything = model.counts["circuits"]
    lots, evaluate = [0], gathering.evaluate_circuits

    def stopped(
        model: Any, batches: Any, circuits: Sequence[Circuit], *how: Any, **more: Any
    ) -> Any:
        lots[0] += 1
        if lots[0] > 5:
            raise KeyboardInterrupt
        return evaluate(model, batches, circuits, *how, **more)

    monkeypatch.setattr(gathering, "evaluate_circuits", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(model, tmp_path)
    assert model.counts["backward"] > 0
    monkeypatch.setattr(gathering, "evaluate_circuits", evaluate)
    second = run(model, tmp_path)
    assert model.counts["backward"] == 0 and second.facts["discovery_seconds"] > 0
    assert second.facts["evidence_found_before"] == 2 + 4 + 4 + 2 + 4  # lots of five
    assert model.counts["circuits"] < everything
    assert told(second) == about(told(whole))
    third = run(model, tmp_path)
    assert third.facts["evidence_found_before"] > 50
    assert model.counts["circuits"] == 3  # the curve's
    assert third.facts["discovery_seconds"] == second.facts["discovery_seconds"]
    assert told(third) == about(told(whole))


def test_more_draws_run_what_is_new(model: CircuitModel, tmp_path: Path) -> None:
    few = {"evidence": "sufficiency"}
    run(model, tmp_path, **few)
    more = run(model, tmp_path, evidence="sufficiency:necessity", evidence_draws=8)
    assert more.facts["evidence_found_before"] == 2 * 5
    assert told(more) == about(
        told(run(model, None, evidence="sufficiency:necessity", evidence_draws=8))
    )


def test_nothing_of_another_run_is_taken(model: CircuitModel, tmp_path: Path) -> None:
    run(model, tmp_path)
    for other in ({"metric": "prob_diff"}, {"ablation": "mean"}, {"direction": "denoising"}):
        found = run(model, tmp_path, **other)
        assert "evidence_found_before" not in found.facts, other
        assert told(found) == about(told(run(model, None, **other)))
    for pairs in (1, 2):  # documents come again after four
        found = run(model, tmp_path, first=pairs)
        assert "evidence_found_before" not in found.facts
        assert model.counts["backward"] > 0


def test_what_is_damaged_is_run_again(
    model: CircuitModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = told(run(model, tmp_path))
    n = run(model, tmp_path).facts["evidence_found_before"]
    lots = sorted((tmp_path / "evidence" / "tiny").glob("values-*.safetensors"))
    lots = [lot for lot in lots if not lot.stem.endswith("-took")]
    lots[0].write_bytes(lots[0].read_bytes()[:-8])
    (scores,) = (tmp_path / "evidence" / "tiny").glob("scores-*.safetensors")
    scores.write_bytes(b"")
    with caplog.at_level(logging.INFO, "lm_eval.circuit"):
        again = run(model, tmp_path)
    assert model.counts["backward"] > 0 and n - 4 <= again.facts["evidence_found_before"] < n
    assert caplog.text.count("It is made again.") == 2
    assert told(again) == about(whole)


def test_without_evidence_or_a_folder_nothing_is_kept(model: CircuitModel, tmp_path: Path) -> None:
    settings = Settings.from_arguments(OPTIONS)
    pairs = pairs_from_docs(documents(0, 8), "tiny")
    Experiment(model, settings, pairs[:4], pairs[4:], task="tiny", folder=tmp_path).run()
    assert not list(tmp_path.iterdir())
