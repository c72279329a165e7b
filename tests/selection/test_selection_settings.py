"""Selectors in settings and experiments: options, seeds, samples kept where they are needed."""

from __future__ import annotations

from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from helpers.tiny_tokenizer import save_tiny_model

from harness_circuits.errors import OptionError
from harness_circuits.experiment import Experiment
from harness_circuits.loading.load import load_model
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair
from harness_circuits.selection import SELECTORS
from harness_circuits.selection.given import Given
from harness_circuits.settings import Settings

NAMES = ("Mary", "John", "Anna", "Tom")


@cache
def model() -> CircuitModel:
    with TemporaryDirectory() as folder:
        return load_model(str(save_tiny_model(folder, "llama")), device="cpu")


def pairs() -> list[Pair]:
    found = []
    for giver in NAMES:
        for other in NAMES:
            if other != giver:
                text = f"When {giver} and {other} went to the store {{}} gave a book to"
                clean, corrupted = text.format(giver), text.format(other)
                found.append(Pair(clean, corrupted, (f" {other}", f" {giver}"), (0,), (1,)))
    return found


def experiment(**arguments: Any) -> Experiment:
    defaults = {"method": "EAP", "sizes": (0.05, 0.2, 1.0), "bootstrap_iters": 10}
    chosen = Settings.from_arguments({**defaults, **arguments})
    return Experiment(model(), chosen, pairs()[:8], pairs()[8:])


def test_bootstrap_filter_keeps_samples_by_itself() -> None:
    run = experiment(selection="bootstrap-filter", keep_samples=4)
    assert [len(batch) for batch in run.discovery.batches] == [2] * 4
    result = run.run()
    assert result.scores is not None and result.scores.samples is not None
    assert result.scores.samples.sizes.tolist() == [2] * 4
    plain = experiment().run()
    assert plain.scores is not None and plain.scores.samples is None
    np.testing.assert_allclose(
        plain.scores.values, result.scores.values, atol=1e-5 * np.abs(plain.scores.values).max()
    )
    for ours, theirs in zip(result.curves, plain.curves, strict=True):
        assert ours.circuits[-1].n_kept < theirs.circuits[-1].n_kept == model().graph.n_edges


def test_by_default_there_are_as_many_samples_as_pairs_allow() -> None:
    run = experiment(selection="bootstrap-filter")
    assert [len(batch) for batch in run.discovery.batches] == [1] * 8
    scores = run.discovery.scores()
    assert scores.samples is not None and len(scores.samples) == 8
    assert run.setup.settings.to_dict()["keep_samples"] == SELECTORS.get("bootstrap-filter").samples


def test_samples_can_be_kept_for_any_selector() -> None:
    scores = experiment(keep_samples=2).discovery.scores()
    assert scores.samples is not None and scores.samples.sizes.tolist() == [4, 4]


@pytest.mark.parametrize("name", list(SELECTORS))
def test_every_selector_runs_in_an_experiment(name: str) -> None:
    result = experiment(selection=name).run()
    assert [curve.ranking for curve in result.curves] == ["absolute", "signed"]
    for curve in result.curves:
        assert np.isfinite(curve.values.circuits).all()


def test_an_explicit_threshold_limits_every_size() -> None:
    scores = experiment().discovery.scores()
    sizes = np.sort(np.abs(scores.values[scores.space.real]))
    cut, given = float(sizes[-20:][0]), Given.of(scores)
    circuits = experiment(selection="threshold", threshold=cut).circuits(given)["absolute"]
    free = experiment(selection="threshold").circuits(given)["absolute"]
    assert circuits[0].n_kept == free[0].n_kept
    assert circuits[1].n_kept == circuits[2].n_kept <= 20 < free[2].n_kept


def test_the_run_s_seed_is_the_selector_s() -> None:
    chosen = Settings.from_arguments({"selection": "bootstrap-filter", "seed": 7, "method": "EAP"})
    assert chosen.chosen_selection_options()["seed"] == 7
    assert chosen.to_dict()["selection_options"] == {
        "resamples": 100,
        "consistency": 0.95,
        "seed": 7,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"selection": "bootstrap-filter", "method": "random"}, "selection=bootstrap-filter needs"),
        ({"keep_samples": 5, "method": "random"}, "keep_samples needs other scores: method=random"),
        ({"selection": "bootstrap-filter", "keep_samples": 1}, "keep_samples is at least 2, got 1"),
        ({"keep_samples": -1}, "keep_samples is a whole number from 0 to 100000, got -1"),
        ({"share": 0.5}, "share has no effect"),
        ({"selection": "pnr", "share": 2}, "share is a number from 0 to 1, got 2"),
        ({"selection": "greedy", "level": "node"}, "selection=greedy is not defined at level=node"),
    ],
)
def test_what_cannot_work_is_refused_before_a_model_is_loaded(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        Settings.from_arguments({"method": "EAP", **arguments})


def test_a_graph_that_is_too_large_is_refused_before_anything_runs() -> None:
    before = dict(model().counts)
    with pytest.raises(OptionError, match="This graph has 110, max_edges allows 5"):
        experiment(selection="ilp", max_edges=5)
    assert dict(model().counts) == before
