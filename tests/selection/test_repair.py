"""Selectors that try circuits on training pairs: what they reach, what they run, what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.selection_cases import Additive, random_scores
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Level
from harness_circuits.errors import OptionError
from harness_circuits.experiment import Experiment
from harness_circuits.loading.load import load_model
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.selection import SELECTORS, select
from harness_circuits.selection.pnr import pnr
from harness_circuits.settings import Settings

GRAPH = Graph(n_layers=3, n_heads=4, n_kv_heads=4, d_model=8)
TRYING = [name for name in SELECTORS if SELECTORS.get(name).trials is not None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CircuitModel:
    return load_model(str(save_tiny_model(tmp_path_factory.mktemp("model"), "llama")), device="cpu")


@pytest.mark.parametrize("ranking", Ranking)
@pytest.mark.parametrize("whole", [3.0, 12.0])
def test_repair_comes_within_its_tolerance_where_units_allow(
    whole: float, ranking: Ranking
) -> None:
    """Nodes of an additive game, from above 1 and from below."""
    scores = random_scores(GRAPH, 4, "node")
    game = Additive(scores, whole / 4)
    for n in (3, 6, 9):
        how: dict[str, Any] = {"ranking": ranking, "measure": game}
        (first,) = select(scores, [n], ranking=ranking)
        (found,) = select(scores, [n], "repair", **how, tolerance=0.05, rounds=12)
        assert found.n_kept <= n
        assert game.distance(found) <= game.distance(first)


def test_repair_moves_as_few_units_as_bisection_finds() -> None:
    """From |score|, whose circuit falls short, by exchanging the worst kept for the best left out."""
    scores = random_scores(GRAPH, 7, "edge")
    order = np.argsort(-np.abs(scores.values.ravel()), kind="stable")[:40]
    kept = np.zeros(scores.space.shape, dtype=bool)
    kept.ravel()[order] = True
    base = Circuit(scores.space, kept)
    game = Additive(scores, 1.0)
    game.whole = 2 * float(scores.values[base.prune().kept].sum()) or 1.0
    if game.whole < 0:
        game.whole = 10.0
    (found,) = select(
        scores, [40], "repair", ranking=Ranking.ABSOLUTE, measure=game, tolerance=0.1, rounds=20
    )
    assert game.distance(found) < game.distance(base.prune())
    assert len(game.calls) < 25 and all(n == 64 for _, n in game.calls if n)


def test_pnr_fit_takes_the_best_share_of_its_grid() -> None:
    scores = random_scores(GRAPH, 2, "edge")
    game, counts = Additive(scores, 30.0), [20, 60, 150]
    how: dict[str, Any] = {"ranking": Ranking.SIGNED, "measure": game}
    coarse = select(scores, counts, "pnr-fit", **how, shares=5, refinements=0)
    assert game.calls == [(15, 64)]
    for n, circuit in zip(counts, coarse, strict=True):
        grid = [
            pnr(scores, [n], Ranking.SIGNED, share=share)[0].prune()
            for share in np.linspace(0, 1, 5)
        ]
        assert game.distance(circuit) == min(map(game.distance, grid))
    fine = select(scores, counts, "pnr-fit", **how, shares=5, refinements=3, fit_pairs=9)
    for before, after in zip(coarse, fine, strict=True):
        assert game.distance(after) <= game.distance(before)
    trials = SELECTORS.get("pnr-fit").trials
    assert trials is not None
    ran = sum(n for n, pairs in game.calls if pairs == 9)
    assert ran <= len(counts) * trials({"shares": 5, "refinements": 3})


@pytest.mark.parametrize("name", TRYING)
def test_without_pairs_they_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"selection={name} tries circuits on training pairs"):
        select(random_scores(GRAPH), [3], name, ranking=Ranking.ABSOLUTE)


def faithfulness(model: Any, selection: str, level: Level) -> tuple[np.ndarray, Any]:
    """Of the absolute ranking, where evaluation pairs are the training pairs."""
    given = {"sizes": "0.05:0.2:0.5", "ablation": "mean", "level": level, "selection": selection}
    pairs = pairs_from_docs(documents(0, 6), "tiny")
    settings = Settings.from_arguments({**given, "method": "EAP", "ranking": "absolute"})
    result = Experiment(model, settings, pairs, pairs).run()
    full, empty = result.examples.full.mean(), result.examples.empty.mean()
    return (result.examples.circuits.mean(1) - empty) / (full - empty), result


@pytest.mark.parametrize("level", ["edge", "node"])
def test_an_experiment_is_nearer_to_its_model_on_training_pairs(
    model: CircuitModel, level: Level, caplog: pytest.LogCaptureFixture
) -> None:
    plain, _ = faithfulness(model, "top-n", level)
    for name in TRYING:
        caplog.set_level("INFO", logger="lm_eval.circuit")
        fitted, _ = faithfulness(model, name, level)
        assert (np.abs(fitted - 1) <= np.abs(plain - 1) + 1e-9).all() or name == "pnr-fit"
        assert np.abs(fitted - 1).mean() <= np.abs(plain - 1).mean() + 1e-9
        assert f"selection={name} tries at most" in caplog.text


def test_python_gives_model_and_pairs(model: CircuitModel) -> None:
    pairs = pairs_from_docs(documents(0, 6), "tiny")
    scores = hc.discover(model, pairs, method="EAP")
    how: dict[str, Any] = {"selection": "repair", "rounds": 3}
    found = hc.select(scores, (0.1, 1.0), model=model, training=pairs, **how)
    assert found[1.0].n_kept == scores.space.n_units
    with pytest.raises(OptionError, match="tries circuits on training pairs"):
        hc.select(scores, (0.1,), **how)
