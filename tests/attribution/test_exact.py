"""Exact patching against the gated reference, one unit at a time."""

from __future__ import annotations

import logging
from collections import Counter
from importlib import import_module

import numpy as np
import pytest
import torch
from helpers.reference import exact_scores
from helpers.reference_cases import BY_HAND, CASES, exact_case
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import GRAPH_LEVELS, LEVELS, Level, ScoreSpace
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.tokenise import TokenPair

MODULE = import_module("harness_circuits.attribution.exact")
LOGIT_DIFF = METRICS.get("logit_diff")
GRID = [(name, ablation) for name in CASES for ablation in BY_HAND]


@pytest.mark.parametrize("level", GRAPH_LEVELS)
@pytest.mark.parametrize(("name", "ablation"), GRID)
def test_every_unit_is_the_gated_run_with_that_unit_replaced(
    name: str, ablation: str, level: Level
) -> None:
    with exact_case(name) as case:
        job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))
        got = attribute(job, "exact").values
        wanted = case.brute_force(exact_scores, level, ablation)
    largest = np.abs(got).max()
    assert np.abs(wanted).max() > 1e-3 * max(1, largest)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9 * largest)


@pytest.mark.parametrize("level", LEVELS)
def test_it_is_the_evaluation_of_circuits_without_one_unit(level: Level) -> None:
    """The second route of this package, for some units of a post-norm model."""
    model, batches = tiny_model("olmo2", kv_heads="grouped"), token_batches()
    job = Job(model, batches, LOGIT_DIFF, level)
    got = attribute(job, "exact").values
    full = Circuit.full(job.space)
    units = np.flatnonzero(job.space.real)[:: max(1, job.space.n_units // 12)]
    circuits = []
    for unit in units:
        kept = full.kept.copy()
        kept.flat[unit] = False
        circuits.append(Circuit(job.space, kept))
    found = evaluate_circuits(model, batches, circuits, LOGIT_DIFF, job.ablation)
    falls = found.full.mean() - found.circuits.mean(axis=1)
    np.testing.assert_allclose(got.flat[units], falls, rtol=0, atol=1e-6 * np.abs(got).max())


def test_units_share_passes_without_changing_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(tiny_model("llama"), token_batches(), LOGIT_DIFF)
    together = attribute(job, "exact")
    monkeypatch.setattr(MODULE, "PATCHED_TOKENS", 1)
    alone = attribute(job, "exact")
    np.testing.assert_allclose(alone.values, together.values, rtol=0, atol=1e-9)
    n_edges = job.space.n_units
    assert alone.provenance["passes"]["forward"] == n_edges + 2
    assert together.provenance["passes"]["forward"] < n_edges / 10
    for scores in (alone, together):
        assert scores.provenance["passes"]["patched"] == n_edges


def test_it_takes_metrics_without_gradients_and_answers_of_several_tokens() -> None:
    model = tiny_model("gemma2", dtype=torch.float64)
    pairs = [
        TokenPair((3, 5, 8, 13), (3, 6, 9, 13), ((1, 2), (4, 9, 7)), (0,), (1,), 0),
        TokenPair((2, 5, 8, 10), (2, 7, 8, 11), ((5, 1), (6, 2, 2)), (0,), (1,), 1),
    ]
    batches = make_batches(pairs, 2)
    job = Job(model, batches, METRICS.get("prob_diff"), "node")
    got = attribute(job, "exact").values
    full = Circuit.full(job.space)
    circuits = [Circuit(job.space, full.kept & (np.arange(len(got)) != u)) for u in range(len(got))]
    found = evaluate_circuits(model, batches, circuits, job.metric, job.ablation)
    falls = found.full.mean() - found.circuits.mean(axis=1)
    np.testing.assert_allclose(got, falls, rtol=0, atol=1e-6 * np.abs(got).max())


def test_many_runs_are_announced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job(tiny_model("llama"), token_batches(4, size=2), LOGIT_DIFF, "node")
    with caplog.at_level(logging.WARNING, "lm_eval"):
        attribute(job, "exact")
        assert not caplog.records
        monkeypatch.setattr(MODULE, "MANY_RUNS", 21)
        attribute(job, "exact")
    (record,) = caplog.records
    expected = "11 nodes x 2 batches = 22 patched runs of up to 2 prompts each on tiny-llama"
    assert expected in record.getMessage()


@pytest.mark.parametrize("level", ["edge", "node"])
def test_units_of_one_layer_fill_passes(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least: a layer's units, from its block on, behind what the prompts share."""
    model = tiny_model("gpt2")
    clean = tuple(range(12))
    pairs = [TokenPair(clean, (*clean[:8], *range(20, 24)), ((1,), (2,)), (0,), (1,))]
    (batch,) = make_batches(pairs, 1)
    assert batch.shared == 8
    model.counts = Counter()
    monkeypatch.setattr(MODULE, "PATCHED_TOKENS", 4 * 7)  # seven units a pass
    attribute(Job(model, [batch], METRICS.get("logit_diff"), level), "exact")
    graph = model.graph
    if level == "edge":
        starts = [graph.attention_slice(layer).start for layer in range(graph.n_layers)]
        ends = [*starts[1:], graph.n_dst]
        own = [int(graph.n_visible[a:b].sum()) for a, b in zip(starts, ends, strict=True)]
    else:
        own = [1, *[graph.sources_per_layer] * graph.n_layers]
    assert model.counts["patched"] == sum(own) == ScoreSpace(graph, level).n_units
    n_passes = sum(-(-units // 7) for units in own)
    assert model.counts["forward"] == 2 + n_passes
    # The shared prefix once; both prompts; then every unit's own tokens.
    assert model.counts["tokens"] == 8 + 4 * (2 + sum(own))
