"""Stability of top-n units under resampling, and both controls in a run."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from helpers.tiny_tasks import TASK, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.evaluation.stability import check_resampling, stability
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.settings import Settings
from harness_circuits.statistics.bootstrap import resample_weights

SPACE = ScoreSpace(Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4))


def scores_with(sums: np.ndarray, sizes: list[int]) -> Scores:
    sums = np.where(SPACE.real, sums, 0).astype(np.float32)
    samples = Samples(sums, np.array(sizes))
    return Scores(SPACE, sums.sum(0) / sum(sizes), samples=samples)


@given(st.integers(0, 99), st.sampled_from(Ranking))
@settings(deadline=None, max_examples=25)
def test_mean_jaccard_by_hand(seed: int, ranking: Ranking) -> None:
    sizes, counts, draws = [2, 1, 3, 2], [1, 5, 20, SPACE.n_units], 6
    scores = scores_with(np.random.default_rng(seed).normal(size=(4, *SPACE.shape)), sizes)
    assert scores.samples is not None
    found = stability(scores, counts, draws, seed, ranking=ranking)
    units = np.flatnonzero(SPACE.real)
    sets = []
    for row in resample_weights(4, draws, seed) * 4:
        total = sum(w * s for w, s in zip(row, scores.samples.sums, strict=True))
        value = (total / (row @ np.array(sizes))).ravel()[units]
        sets.append(units[np.argsort(-ranking.of(value), kind="stable")])
    for count, result in zip(counts, found, strict=True):
        tops = [set(order[:count].tolist()) for order in sets]
        by_hand = [len(a & b) / len(a | b) for a, b in combinations(tops, 2)]
        assert result == pytest.approx(np.mean(by_hand))


def test_equal_groups_are_perfectly_stable() -> None:
    one = np.random.default_rng(0).normal(size=SPACE.shape)
    scores = scores_with(np.stack([one] * 3), [1] * 3)
    assert stability(scores, [1, 9, 30], 5, 0, ranking=Ranking.ABSOLUTE) == [1.0, 1.0, 1.0]


def test_pure_noise_is_near_chance() -> None:
    noise = np.random.default_rng(0).normal(size=(4, *SPACE.shape))
    (found,) = stability(scores_with(noise, [1] * 4), [5], 30, 0, ranking=Ranking.SIGNED)
    assert found < 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stability_resamples": 1}, "stability_resamples is 0 or at least 2"),
        (
            {"stability_resamples": -2},
            "stability_resamples is a whole number from 0 to 100000, got -2",
        ),
        ({"null_circuits": 1.5}, "null_circuits is a whole number from 0 to 1000, got 1.5"),
        ({"stability_resamples": 5, "method": "random"}, "stability_resamples needs other scores"),
        ({"stability_resamples": 5, "keep_samples": 1}, "keep_samples is at least 2, got 1"),
    ],
)
def test_bad_values_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Settings.from_arguments({"method": "EAP", **arguments})


def test_scores_without_samples_are_refused() -> None:
    with pytest.raises(OptionError, match="these scores hold 0 groups"):
        check_resampling(Scores(SPACE, np.ones(SPACE.shape)))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = save_tiny_model(tmp_path_factory.mktemp("model"), "llama")
    tasks = write_task(tmp_path_factory.mktemp("task"))
    plain = {"pretrained": str(folder), "sizes": "0.1:0.3:1", "keep_samples": 64}
    lm = CircuitLM(**plain)
    other = lm.with_arguments(**plain, null_circuits=8, stability_resamples=6)
    assert other.circuit_model is lm.circuit_model
    with pytest.raises(OptionError, match="need a model of their own"):
        lm.with_arguments(**plain, dtype="float64")
    return evaluate(lm, [TASK], tasks), evaluate(other, [TASK], tasks)


def test_controls_add_metrics_and_change_nothing_else(results: Any) -> None:
    plain, controlled = map(values, results)
    added = {
        f"{name}{prefix}@{size}"
        for name in ("null_percentile", "stability")
        for prefix in ("", "_signed")
        for size in ("0.1", "0.3", "1")
    }
    assert set(controlled) == set(plain) | added
    assert {name: controlled[name] for name in plain} == pytest.approx(plain)
    assert all(0 <= controlled[name] <= 1 for name in added)
    assert controlled["null_percentile@1"] == 0.5
    assert controlled["stability@1"] == controlled["stability_signed@1"] == 1


def test_controls_are_in_the_provenance(results: Any) -> None:
    circuit = results[1]["config"]["circuit"]
    assert circuit["settings"]["null_circuits"] == 8
    for curve in circuit["tasks"][TASK]["curves"].values():
        null = curve["null"]
        assert null["n"] == 8
        assert len(null["p_value"]) == len(curve["stability"]) == 3
        assert np.allclose(null["kept"], curve["kept"], atol=1)
        assert null["mean"][2] == pytest.approx(1)
    assert "null" not in results[0]["config"]["circuit"]["tasks"][TASK]["curves"]["signed"]


def test_directions(results: Any) -> None:
    better = results[1]["higher_is_better"][TASK]
    assert better["null_percentile@0.1"] is better["stability_signed@0.1"] is True


def test_a_circuit_alone_has_no_stability() -> None:
    with pytest.raises(OptionError, match="circuit= names a circuit alone"):
        check_resampling(None)
