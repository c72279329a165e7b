"""Shapley sampling against all coalitions, its sums, its standard errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import Reference, exact_float64, gated_metric
from helpers.reference_cases import BY_HAND, CASES, PAIRS, answers, clean, corrupted, exact_case
from helpers.tiny_models import random_hf, tiny_model, token_batches

from harness_circuits.ablation import make_ablation
from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.shapley import LEAST, marginals
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Level
from harness_circuits.errors import CircuitFileError, MismatchError
from harness_circuits.formats import load_circuit_file, write_scores
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuit

LOGIT_DIFF = METRICS.get("logit_diff")
SMALL = {
    "gpt2": {"n_layer": 1, "n_head": 2},
    "gemma2": {"num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8},
}


def nothing(*_: Any) -> None:
    pass


@pytest.mark.parametrize("architecture", SMALL)
def test_the_mean_over_all_orders_is_the_value_of_shapley(architecture: str) -> None:
    """Four nodes: sixteen coalitions by gates, twenty-four orders by circuits."""
    hf = random_hf(architecture, **SMALL[architecture]).double()
    with exact_float64():
        model, reference = take_apart(hf, name="four nodes"), Reference(hf)
        n = model.graph.n_src
        value = {}
        for k in range(n + 1):
            for kept in combinations(range(n), k):
                gates = torch.ones(n, dtype=torch.float64)
                gates[list(kept)] = 0
                prompts = clean(PAIRS), corrupted(PAIRS)
                metric = gated_metric(reference, *prompts, gates, answers(PAIRS))
                value[kept] = float(metric.mean())
        wanted = np.zeros(n)
        for kept, v in value.items():
            for unit in set(range(n)) - set(kept):
                with_it = tuple(sorted((*kept, unit)))
                weight = factorial(len(kept)) * factorial(n - len(with_it)) / factorial(n)
                wanted[unit] += weight * (value[with_it] - v)
        job = Job(model, make_batches(PAIRS, 2), LOGIT_DIFF, "node")
        orders = permutations(range(n))
        found = np.mean([marginals(job, np.array(o), nothing) for o in orders], axis=0)
    assert np.abs(wanted).max() > 1e-2
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        *((name, "node") for name in CASES),
        ("gpt_neox-ungrouped", "edge"),
        ("gemma2-grouped", "edge"),
    ],
)
def test_every_order_adds_up_to_the_model_less_the_empty_circuit(name: str, level: Level) -> None:
    with exact_case(name) as case:
        ablation = BY_HAND[CASES.index(name) % len(BY_HAND)]
        batches = make_batches(PAIRS, len(PAIRS), room=12 * len(PAIRS))
        job = Job(case.model, batches, LOGIT_DIFF, level, case.ablation(ablation))
        found = attribute(job, "shapley", permutations=1)
        with torch.no_grad():
            replacement = job.ablation.replacement(case.model, case.batch)
            stream = AblatedStream(case.model, case.batch.clean, replacement)
            empty = run_circuit(case.model, Circuit.empty(job.space), case.batch.clean, stream)
            ends = case.model.forward(case.batch.clean), empty
        full, floor = (float(LOGIT_DIFF(x, case.batch).mean()) for x in ends)
    assert abs(full - floor) > 1e-2
    assert found.values.sum() == pytest.approx(full - floor, abs=1e-9)
    assert found.provenance["score_sum"] == pytest.approx(full - floor)
    assert found.standard_errors is None


def test_samples_their_errors_and_when_they_are_enough() -> None:
    model, batches = tiny_model("gpt2"), token_batches(2)
    job = Job(model, batches, LOGIT_DIFF, "node", make_ablation("zero", model, batches))
    generator, units = np.random.default_rng(3), np.arange(model.graph.n_src)
    samples = []
    for _ in range(6):
        order = generator.permutation(units)
        walks = [marginals(job, o, nothing) for o in (order, order[::-1])]
        samples.append(np.mean(walks, axis=0))
    found = attribute(job, "shapley", permutations=6, seed=3)
    np.testing.assert_allclose(found.values, np.mean(samples, axis=0), atol=1e-12)
    assert found.standard_errors is not None
    wanted = np.std(samples, axis=0, ddof=1) / 6**0.5
    np.testing.assert_allclose(found.standard_errors, wanted, atol=1e-12)
    assert found.provenance["largest_standard_error"] == pytest.approx(wanted.max())
    one_way = attribute(job, "shapley", permutations=6, seed=3, antithetic=False)
    assert one_way.provenance["passes"]["circuits"] == 6 * model.graph.n_src
    assert found.provenance["passes"]["circuits"] == 12 * model.graph.n_src
    soon = attribute(job, "shapley", permutations=50, seed=3, tolerance=1)
    assert LEAST <= soon.provenance["samples"] < 50
    errors = soon.standard_errors
    assert errors is not None and errors.max() <= np.abs(soon.values).max()


def test_a_file_keeps_standard_errors(tmp_path: Path) -> None:
    job = Job(tiny_model("gpt2"), token_batches(2), LOGIT_DIFF, "node")
    scores = attribute(job, "shapley", permutations=2)
    assert scores.standard_errors is not None
    read: Any = load_circuit_file(write_scores(tmp_path / "a.safetensors", scores))
    np.testing.assert_array_equal(read.standard_errors, scores.standard_errors)
    np.testing.assert_array_equal(read.values, scores.values)
    path = write_scores(
        tmp_path / "b.safetensors", replace(scores, standard_errors=-scores.standard_errors)
    )
    with pytest.raises(CircuitFileError, match="standard errors are not negative"):
        load_circuit_file(path)
    with pytest.raises(MismatchError, match="Standard errors of shape"):
        replace(scores, standard_errors=np.zeros(2))


def test_what_is_ahead_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness_circuits.attribution.shapley.MANY_RUNS", 20)
    attribute(
        Job(tiny_model("gpt2"), token_batches(2), LOGIT_DIFF, "node"), "shapley", permutations=1
    )
    assert "11 nodes, 1 batches, 22 circuit runs of up to 2 prompts" in caplog.text
