"""The training half alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.discovery import Discovery, Setup
from harness_circuits.errors import PairError, TaskDataError
from harness_circuits.experiment import Experiment
from harness_circuits.loading.load import load_model
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair, pairs_from_docs
from harness_circuits.settings import Settings

SIZES = (0.1, 0.5, 1.0)
UNEQUAL = Pair("When Mary", "When Mary and John", (" and", " went"), (0,), (1,))


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


@pytest.mark.parametrize("ablation", ["mean", "mean-positional"])
def test_means_are_recorded_once_per_run(model: CircuitModel, ablation: str) -> None:
    settings = chosen(ablation=ablation)
    joined = Experiment(model, settings, pairs(0, 4), pairs(0, 4))
    joined.discovery.scores()
    before = passes(model)
    replacement = joined.discovery.ablation
    assert passes(model) == before > len(joined.discovery.batches)
    again = Experiment(model, settings, pairs(0, 4), pairs(0, 4))
    assert again.discovery.ablation is not replacement
    assert passes(model) == before + len(again.discovery.batches)
    again.run()
    whole = passes(model) - before
    fresh = Experiment(model, settings, pairs(0, 4), pairs(0, 4))
    model.counts.clear()
    fresh.run()
    assert passes(model) == whole


def test_discovery_needs_training_pairs_alone(model: CircuitModel) -> None:
    settings = chosen(n_discovery=3)
    alone = Discovery.on(Setup(model, settings), pairs(0, 4)).scores()
    result = Experiment(model, settings, pairs(0, 4), pairs(1, 5)).run()
    assert result.scores is not None
    assert np.array_equal(alone.values, result.scores.values)
    assert alone.provenance["n_examples"] == result.facts["n_discovery"] == 3
    with pytest.raises(TaskDataError, match="tiny has no training pairs to discover"):
        Discovery.on(Setup(model, settings, task="tiny"), [])
    with pytest.raises(PairError, match=r"training split"):
        Discovery.on(Setup(model, settings), [UNEQUAL])
