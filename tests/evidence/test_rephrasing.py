"""Circuits of single templates, and circuits found again under other settings."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.evidence_cases import additive, edge_space, world
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.overlap import corrected_jaccard
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.errors import OptionError
from harness_circuits.evidence import EVIDENCE
from harness_circuits.evidence.rephrasing import chosen_templates, mixed_groups, rephrasing
from harness_circuits.experiment import Experiment
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair, fingerprint, pairs_from_docs
from harness_circuits.settings import Settings

EDGES = {"input->a0.h0<v>": 0.5, "a0.h0->logits": 0.5}


def pairs(seed: int, n: int) -> list[Pair]:
    docs = [{**doc, "template": at % 2} for at, doc in enumerate(documents(seed, n))]
    return pairs_from_docs(docs, "tiny")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CircuitModel:
    folder = save_tiny_model(tmp_path_factory.mktemp("model"), "llama")
    return hc.load_model(str(folder), device="cpu")


def test_templates_are_no_part_of_what_a_pair_is() -> None:
    with_, without = pairs(0, 4), pairs_from_docs(documents(0, 4), "tiny")
    assert [pair.template for pair in with_] == ["0", "1", "0", "1"]
    assert fingerprint(with_) == fingerprint(without)


def test_templates_with_the_most_pairs_are_taken() -> None:
    training = ["a", "b", "b", "b", "c", "c", None, None, None]
    assert chosen_templates(training, ["a", "a", "b", "b", "c", "c"]) == (["b", "c"], 1)
    assert chosen_templates(training, ["b", "b", "c"]) == (["b"], 2)
    groups = [np.array([0, 1, 2]), np.array([5, 7])]
    mixed = mixed_groups(groups, 0)
    assert [len(group) for group in mixed] == [3, 2]
    assert sorted(np.concatenate(mixed)) == [0, 1, 2, 5, 7]


def test_templates_with_circuits_of_their_own() -> None:
    """Two templates, each with an edge of its own: on the other's examples it does nothing."""
    space = edge_space()
    circuit, _ = additive(EDGES)
    first, second = (Circuit.of_edges(space.graph, [name]) for name in EDGES)
    is_first = np.arange(20) % 2 == 0

    def effect(other: Circuit) -> np.ndarray:
        has = [bool((other & own).n_kept) for own in (first, second)]
        return np.where(is_first, has[0], has[1]).astype(float)

    def discover(numbers: Any) -> dict[Ranking, list[Circuit]]:
        kinds = {number % 2 for number in numbers}
        found = circuit if len(kinds) == 2 else (first, second)[kinds.pop()]
        return {Ranking.ABSOLUTE: [found]}

    names = ["x" if at % 2 == 0 else "y" for at in range(20)]
    extras = {"templates": (names, names), "discover": discover}
    found = rephrasing(replace(world(effect, [circuit], n=20), extras=extras))
    (one,) = found["circuits"]
    assert found["templates"] == ["x", "y"] and found["pairs"] == [10, 10]
    assert np.array(one["faithfulness"]) == pytest.approx(np.eye(2))
    assert one["mean_overlap"] == corrected_jaccard(first, second) < 0
    assert one["mean_overlap_mixed"] == 1
    assert (one["mean_on_own"], one["mean_on_others"]) == pytest.approx((1, 0))


def test_both_kinds_in_a_run(model: CircuitModel) -> None:
    options = {"method": "EAP-IG-inputs", "ig_steps": 1, "sizes": (0.4,), "bootstrap_iters": 20}
    settings = Settings.from_arguments({**options, "evidence": "rephrasing:rediscovery"})
    found = Experiment(model, settings, pairs(0, 6), pairs(1, 6)).run().facts["evidence"]
    assert found["rephrasing"]["templates"] == ["0", "1"]
    for one in found["rephrasing"]["circuits"]:
        assert np.diag(one["overlap"]).tolist() == [1, 1]
    changes = {change["change"]: change["circuits"] for change in found["rediscovery"]["changes"]}
    assert set(changes) == {"ig_steps=2", "ablation=mean", "ablation=mean-positional"}
    (one, _) = changes["ig_steps=2"]
    again = hc.discover(model, pairs(0, 6), method="EAP-IG-inputs", ig_steps=2)
    first = hc.discover(model, pairs(0, 6), method="EAP-IG-inputs", ig_steps=1)
    circuits = [hc.select(scores, (0.4,))[0.4] for scores in (again, first)]
    assert one["overlap"] == pytest.approx(corrected_jaccard(*circuits))


def test_pairs_of_one_phrasing_are_refused_by_name(
    model: CircuitModel, caplog: pytest.LogCaptureFixture
) -> None:
    """Before anything is run; as one of all kinds it is left out, and said to be."""
    several, bare = pairs(0, 6), pairs_from_docs(documents(0, 6), "tiny")
    one = [replace(pair, template="0") for pair in bare]
    for training, evaluation, why in (
        (one, bare, ": all pairs of tiny are of one phrasing. Leave it out, or take a task"),
        (bare, several, ": the pairs of tiny do not say which phrasing they are of. Give them"),
        (several, several[:3], " takes two .*; of the 2 of tiny 1 has so many among 6 and 3 pairs"),
    ):
        settings = Settings.from_arguments({"method": "EAP", "evidence": "necessity:rephrasing"})
        with pytest.raises(OptionError, match=f"^evidence=rephrasing{why}"):
            Experiment(model, settings, training, evaluation, task="tiny")
    options = {"method": "EAP", "sizes": (0.4,), "bootstrap_iters": 20, "evidence_draws": 2}
    settings = Settings.from_arguments({**options, "ranking": "absolute", "evidence": "all"})
    with caplog.at_level(logging.INFO, "lm_eval.circuit"):
        found = Experiment(model, settings, one, bare, task="tiny").run().facts["evidence"]
    assert set(found) == set(EVIDENCE)
    assert "evidence=rephrasing: no further passes" in caplog.text
    (line,) = found["rephrasing"]["summary"]
    assert line.startswith("rephrasing: left out, as fewer than two templates have 2 training")


def test_given_circuits_cannot_be_discovered_again(model: CircuitModel) -> None:
    circuits = hc.select(hc.discover(model, pairs(0, 3), method="EAP"), (0.4,))
    for kind, why in (("rephrasing", "discovers circuits anew"), ("significance", "needs scores")):
        with pytest.raises(OptionError, match=f"^evidence={kind} {why}"):
            hc.faithfulness(model, pairs(1, 3), circuits, evidence=kind)
