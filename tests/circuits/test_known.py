"""Circuits of GPT-2 small from the literature, and the measures of agreement with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_tasks import evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.known import KNOWN_FOR_TASK, NAMES, known_circuit
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import MismatchError, OptionError, UnknownNameError
from harness_circuits.evaluation.agreement import (
    agreement,
    auprc,
    auroc,
    overlap,
    overlap_with_known,
    recall_at_true_size,
)
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.harness.options import circuit_path, read_options
from harness_circuits.selection.given import Given

GPT2 = Graph(n_layers=12, n_heads=12, n_kv_heads=12, d_model=768)
IOI, GREATER = NAMES

ranked = (
    st.integers(2, 40)
    .flatmap(
        lambda n: st.tuples(
            st.lists(st.booleans(), min_size=n, max_size=n),
            st.lists(st.integers(0, 6), min_size=n, max_size=n),
        )
    )
    .filter(lambda pair: 0 < sum(pair[0]) < len(pair[0]))
)


@given(ranked)
def test_areas_are_those_of_scikit_learn(pair: tuple[list[bool], list[int]]) -> None:
    labels, values = np.array(pair[0]), np.array(pair[1], dtype=float)
    assert auroc(labels, values) == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
    assert auprc(labels, values) == pytest.approx(
        average_precision_score(labels, values), abs=1e-12
    )


@given(ranked)
def test_recall_at_the_true_size_is_the_mean_over_orders_of_ties(
    pair: tuple[list[bool], list[int]],
) -> None:
    labels, values = np.array(pair[0]), np.array(pair[1], dtype=float)
    size, generator = int(labels.sum()), np.random.default_rng(0)
    draws = []
    for _ in range(400):
        order = np.lexsort((generator.random(len(values)), -values))
        draws.append(labels[order[:size]].mean())
    assert recall_at_true_size(labels, values) == pytest.approx(np.mean(draws), abs=0.11)


def test_degenerate_labels_give_nan() -> None:
    values = np.arange(3.0)
    for labels in (np.zeros(3, bool), np.ones(3, bool)):
        assert np.isnan(auroc(labels, values))
    assert np.isnan(auprc(np.zeros(3, bool), values))
    assert np.isnan(recall_at_true_size(np.zeros(3, bool), values))


def test_perfect_and_reversed_scores() -> None:
    truth = known_circuit(IOI, GPT2)
    perfect = Scores(truth.space, np.where(truth.kept, -1.0, 0.0))
    assert agreement(perfect, truth) == {"auroc": 1.0, "auprc": 1.0, "recall@true_size": 1.0}
    wrong = Scores(truth.space, np.where(truth.kept, 0.0, 1.0) * truth.space.real)
    assert agreement(wrong, truth)["auroc"] == 0
    nodes = Scores(ScoreSpace(GPT2, "node"), truth.nodes.astype(float))
    assert agreement(nodes, truth)["auroc"] == 1
    assert agreement(None, truth) == agreement(perfect, None) == {}
    neurons = Scores(ScoreSpace(GPT2, "neuron"), np.zeros((GPT2.n_src, 768)))
    assert agreement(neurons, truth) == {}


def heads(circuit: Circuit) -> set[str]:
    names = np.array(GPT2.source_names)[circuit.nodes]
    return {str(name) for name in names if name.startswith("a")}


def test_ioi_has_the_papers_26_heads_and_greater_than_its_9() -> None:
    assert len(heads(known_circuit(IOI, GPT2))) == 26
    assert {"a9.h9", "a10.h7", "a8.h6", "a5.h5", "a0.h1", "a4.h11"} <= heads(
        known_circuit(IOI, GPT2)
    )
    greater = known_circuit(GREATER, GPT2)
    assert heads(greater) == {
        *("a0.h1", "a0.h3", "a0.h5", "a5.h5", "a6.h1", "a6.h9", "a7.h10", "a8.h11", "a9.h1")
    }


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        (
            IOI,
            ("a7.h3->a9.h9<q>", "a2.h2->a5.h5<k>", "a9.h9->logits", "input->a9.h9<v>", "m0->m5"),
            ("a7.h3->a9.h9<k>", "input->logits", "a2.h2->logits", "a9.h9->a10.h7<q>"),
        ),
        (
            GREATER,
            ("input->a0.h1<q>", "a0.h1->m0", "m3->a5.h5<k>", "a9.h1->m11", "m8->logits"),
            ("m4->logits", "a0.h3->m0", "input->a5.h5<q>", "m0->logits"),
        ),
    ],
)
def test_edges_follow_the_rules(
    name: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    circuit = known_circuit(name, GPT2)
    for edges, expected in ((inside, True), (outside, False)):
        for edge in edges:
            assert circuit.kept[GPT2.edge_index(edge)] == expected, edge


@pytest.mark.parametrize("name", NAMES)
def test_every_edge_is_of_use(name: str) -> None:
    circuit = known_circuit(name, GPT2)
    assert circuit.prune().n_kept == circuit.n_kept


def test_errors() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'ioi-gpt2-small'"):
        known_circuit("ioi-gpt2", GPT2)
    other = Graph(n_layers=12, n_heads=12, n_kv_heads=12, d_model=64)
    with pytest.raises(MismatchError, match=r"one of GPT-2 small .* width 64"):
        known_circuit(IOI, other)


def test_circuit_accepts_the_names(tmp_path: Path) -> None:
    for name in NAMES:
        options = read_options({"circuit": name})
        assert options.run["circuit"] == name
        assert circuit_path(name).is_file()
    with pytest.raises(OptionError, match=r"no known circuit of this name. Known.*ioi-gpt2-small"):
        read_options({"circuit": "ioi-gpt3"})
    with pytest.raises(MismatchError, match="one of GPT-2 small"):
        CircuitLM(pretrained=str(save_tiny_model(tmp_path)), circuit=IOI)


@pytest.mark.slow
def test_a_known_circuit_is_evaluated_and_compared_in_a_model_of_its_size(tmp_path: Path) -> None:
    sizes = {"n_layer": 12, "n_head": 12, "n_embd": 768}
    lm = CircuitLM(
        pretrained=str(save_tiny_model(tmp_path / "model", **sizes)),
        circuit=IOI,
        bootstrap_iters=10,
    )
    (tmp_path / "task").mkdir()
    results = evaluate(lm, ["ioi_circuit"], write_task(tmp_path / "task", task="ioi_circuit"))
    run = results["config"]["circuit"]["tasks"]["ioi_circuit"]
    assert run["known_circuits"][IOI]["edges"]["jaccard"] == 1
    assert results["config"]["circuit"]["given"]["file"] == IOI
    n = known_circuit(IOI, GPT2).n_kept
    assert n in values(results, "ioi_circuit").values()


def test_overlap_with_the_known_circuit() -> None:
    truth = known_circuit(IOI, GPT2)
    same = overlap(truth, truth)
    assert same == {
        what: {"precision": 1.0, "recall": 1.0, "jaccard": 1.0} for what in ("edges", "nodes")
    }
    report = overlap_with_known(Given.of(truth), "ioi_circuit")[IOI]
    assert report == {"n_edges": truth.n_kept, **same}
    half = Circuit(truth.space, truth.kept & (np.arange(GPT2.n_dst) % 2 == 0))
    edges = overlap(half, truth)["edges"]
    assert edges["precision"] == 1
    assert edges["recall"] == edges["jaccard"] == half.n_kept / truth.n_kept
    scores = Scores(truth.space, np.where(truth.kept, -2.0, 1.0) * truth.space.real)
    assert overlap_with_known(Given.of(scores), "ioi_circuit")[IOI]["edges"]["recall"] == 1
    nodes = Scores(ScoreSpace(GPT2, "node"), truth.nodes.astype(float))
    assert overlap_with_known(Given.of(nodes), "ioi_circuit")[IOI]["nodes"]["jaccard"] == 1


def test_overlap_is_reported_only_where_it_means_something() -> None:
    truth = known_circuit(IOI, GPT2)
    assert overlap_with_known(Given.of(truth), "sva_circuit") == {}
    assert overlap_with_known(None, "ioi_circuit") == {}
    tiny = Graph(n_layers=1, n_heads=2, n_kv_heads=2, d_model=8)
    assert overlap_with_known(Given.of(Circuit.full(ScoreSpace(tiny))), "ioi_circuit") == {}
    assert set(KNOWN_FOR_TASK.values()) == set(NAMES)
