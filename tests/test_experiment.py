"""Both halves of an experiment: what each needs, and that nothing is done twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.circuits.scores import Scores
from harness_circuits.discovery import Setup
from harness_circuits.errors import MismatchError, OptionError, TaskDataError
from harness_circuits.experiment import Experiment
from harness_circuits.loading.load import load_model
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair, pairs_from_docs
from harness_circuits.selection.given import Given
from harness_circuits.settings import Settings

SIZES = (0.1, 0.5, 1.0)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> CircuitModel:
    return load_model(str(save_tiny_model(tmp_path_factory.mktemp("model"), "llama")), device="cpu")


@pytest.fixture
def model(loaded: CircuitModel) -> Iterator[CircuitModel]:
    loaded.counts.clear()
    yield loaded


def pairs(seed: int, n: int) -> list[Pair]:
    return pairs_from_docs(documents(seed, n), "tiny")


def chosen(**options: Any) -> Settings:
    return Settings.from_arguments(
        {"method": "EAP", "sizes": SIZES, "bootstrap_iters": 10, **options}
    )


def passes(model: CircuitModel) -> int:
    return model.counts["forward"]


def test_evaluation_needs_evaluation_pairs_alone(model: CircuitModel) -> None:
    settings = chosen()
    result = Experiment(model, settings, pairs(0, 4), pairs(1, 5)).run()
    assert result.scores is not None
    given = Given.of(result.scores)
    alone = Experiment(model, settings, (), pairs(1, 5), given=given).run()
    for ours, theirs in zip(alone.curves, result.curves, strict=True):
        assert np.array_equal(ours.values.circuits, theirs.values.circuits)
    assert alone.facts["n_discovery"] == 0
    for ablation in ("mean", "mean-positional"):
        with pytest.raises(TaskDataError, match="no training pairs"):
            Experiment(model, chosen(ablation=ablation), (), pairs(1, 5), given=given)
    with pytest.raises(TaskDataError, match="no training pairs"):
        Experiment(model, settings, (), pairs(1, 5))
    with pytest.raises(TaskDataError, match="no evaluation pairs"):
        Experiment(model, settings, pairs(0, 4), (), given=given)


def test_a_result_says_what_was_measured(model: CircuitModel) -> None:
    settings = chosen(metric="prob_diff", ranking="signed")
    result = Experiment(model, settings, pairs(0, 4), pairs(1, 5), task="tiny").run()
    assert (result.task, result.metric) == ("tiny", "prob_diff")
    (curve,) = result.curves
    assert (curve.ranking, curve.values.sizes) == ("signed", SIZES)
    assert result.examples.circuits.shape == (3, 5)


def test_what_is_given_is_checked_before_anything_runs(model: CircuitModel) -> None:
    other = hc.Graph(n_layers=1, n_heads=1, n_kv_heads=1, d_model=4)
    space = Setup(model, chosen()).space
    foreign, own = hc.Circuit.full(type(space)(other)), hc.Circuit.full(space)
    for circuits in ({1.0: foreign}, {0.5: own, 1.0: foreign}, {0.5: foreign, 1.0: own}):
        given = Given.of_circuits(circuits)
        with pytest.raises(MismatchError, match="belong to another model"):
            Experiment(model, chosen(), (), pairs(1, 5), given=given)
    resampled = chosen(stability_resamples=2)
    for found in (own, Scores(space, np.zeros(space.shape))):
        with pytest.raises(OptionError, match="stability_resamples"):
            Experiment(model, resampled, (), pairs(1, 5), given=Given.of(found))
    nodes = Given.of(Scores(type(space)(model.graph, "node"), np.zeros(model.graph.n_src)))
    with pytest.raises(OptionError, match="selection=greedy is not defined at level=node"):
        Experiment(model, chosen(selection="greedy"), (), pairs(1, 5), given=nodes)
    assert passes(model) == 0


@pytest.mark.parametrize("call", ["discover", "faithfulness"])
def test_the_api_encodes_every_pair_once(
    model: CircuitModel, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness_circuits import discovery

    seen: list[Pair] = []
    original = discovery.tokenise_pair

    def noting(tokenizer: Any, pair: Pair, *rest: Any) -> Any:
        seen.append(pair)
        return original(tokenizer, pair, *rest)

    monkeypatch.setattr(discovery, "tokenise_pair", noting)
    if call == "discover":
        hc.discover(model, pairs(0, 4), method="EAP")
    else:
        full = hc.Circuit.full(Setup(model, chosen()).space)
        hc.faithfulness(model, pairs(0, 4), {0.5: full, 1: full})
    assert len(seen) == 4


def test_given_circuits_keep_the_sizes_that_were_asked_for(model: CircuitModel) -> None:
    full = hc.Circuit.full(Setup(model, chosen()).space)
    found = hc.faithfulness(model, pairs(0, 4), {0.5: full, 1: full}, ranking="signed")
    assert found.metrics["faithfulness_signed@0.5"] == found.metrics["faithfulness_signed@1"] == 1
    assert found.metrics["cpr"] == pytest.approx(0.5)
