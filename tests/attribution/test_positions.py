"""Scores and runs over spans of prompts, against gates of an independent reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import exact_float64, gate_gradient
from helpers.reference_cases import CASES, PAIRS, answers, clean, corrupted
from helpers.spanned import (
    LOGIT_DIFF,
    SPANNED,
    SPANS,
    one_batch,
    random_circuits,
    spanned_case,
    without_one,
)
from helpers.tiny_models import ARCHITECTURES, tiny_model

from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import METHODS, Job, attribute
from harness_circuits.attribution.methods import check_positions
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import MismatchError, OptionError
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import make_batches
from harness_circuits.passes import contract
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuits

METHODS_OVER_SPANS = [name for name in METHODS if METHODS.get(name).positions]


def scores(model: CircuitModel, method: str, spans: Spans | None, **options: Any) -> Scores:
    job = Job(model, [one_batch()], LOGIT_DIFF, spans=spans)
    return attribute(job, method, **options)


@pytest.mark.parametrize("name", CASES)
def test_scores_are_gradients_of_gates_at_spans(name: str) -> None:
    """EAP, and one point of EAP-IG-inputs."""
    with spanned_case(name) as (model, reference):
        for method, alpha, options in (
            ("EAP", 1.0, {}),
            ("EAP-IG-inputs", 0.5, {"ig_steps": 1, "ig_rule": "midpoint"}),
        ):
            prompts = clean(PAIRS), corrupted(PAIRS), answers(PAIRS)
            wanted = gate_gradient("edge", reference, *prompts, alpha=alpha).numpy()
            got = scores(model, method, SPANS, **options).values
            assert np.abs(wanted).max() > 1e-3
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())


# Random scores are drawn for every unit, and add up to nothing.
@pytest.mark.parametrize("method", [name for name in METHODS_OVER_SPANS if name != "random"])
def test_sums_over_spans_are_the_scores_without(method: str) -> None:
    for architecture in ("llama", "gemma2"):
        model = tiny_model(architecture)
        wanted = scores(model, method, None).values
        got = scores(model, method, SPANS).everywhere()
        np.testing.assert_allclose(got.values, wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())
        assert got.space == ScoreSpace(model.graph)


def test_chunks_and_shared_prefixes_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("olmo2")
    wanted = scores(model, "EAP", SPANS).values
    largest = np.abs(wanted).max()
    monkeypatch.setattr(contract, "CHUNK_BYTES", 1)
    got = scores(model, "EAP", SPANS).values
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12 * largest)
    shared = make_batches(SPANNED, 1, spans=SPANS)
    assert any(batch.shared for batch in shared)
    got = attribute(Job(model, shared, LOGIT_DIFF, spans=SPANS), "EAP").values
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12 * largest)


def logits(model: CircuitModel, circuits: list[Circuit]) -> torch.Tensor:
    batch = one_batch()
    stream = AblatedStream(model, batch.clean, Patching().replacement(model, batch))
    return run_circuits(model, circuits, batch.clean, stream)[:, :, 0]


@pytest.mark.parametrize("name", CASES)
def test_a_run_over_spans_is_the_gated_run(name: str) -> None:
    """Random circuits, the whole and the empty one, and those that lack a single unit."""
    with spanned_case(name) as (model, reference), torch.no_grad():
        space = ScoreSpace(model.graph, "edge", SPANS)
        circuits = [Circuit.full(space), Circuit.empty(space), *random_circuits(space)]
        circuits += without_one(space, np.flatnonzero(space.real), 12)
        got = logits(model, circuits)
        replacement = reference.replacement("patching", corrupted(PAIRS))
        gates = torch.stack([torch.from_numpy(~circuit.kept).double() for circuit in circuits])

        def run(own: torch.Tensor) -> torch.Tensor:
            return reference.run(clean(PAIRS), own, replacement)[0]

        wanted = torch.func.vmap(run)(gates)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)
        for ids, at in ((clean(PAIRS), 0), (corrupted(PAIRS), 1)):
            whole = model.hf(ids, use_cache=False).logits[:, -1]
            torch.testing.assert_close(got[at], whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_spans_of_some_edges_are_the_circuit_of_these(architecture: str) -> None:
    model = tiny_model(architecture)
    plain = random_circuits(ScoreSpace(model.graph))
    with exact_float64():
        got = logits(model, [circuit.at_all_spans(SPANS) for circuit in plain])
        torch.testing.assert_close(got, logits(model, plain), rtol=0, atol=1e-9)


def test_pruning_over_spans_changes_no_run() -> None:
    for architecture in ("llama", "gpt_neox", "gemma2"):
        model = tiny_model(architecture)
        space = ScoreSpace(model.graph, "edge", SPANS)
        generator = np.random.default_rng(2)
        draws = [space.real & (generator.random(space.shape) < 0.08) for _ in range(6)]
        circuits = [Circuit(space, draw) for draw in draws]
        pruned = [circuit.prune() for circuit in circuits]
        assert any(0 < p.n_kept < c.n_kept for p, c in zip(pruned, circuits, strict=True))
        with exact_float64():
            got = logits(model, pruned)
            torch.testing.assert_close(got, logits(model, circuits), rtol=0, atol=1e-9)


def test_evaluation_needs_the_spans_of_its_pairs() -> None:
    model = tiny_model("gpt2")
    space = ScoreSpace(model.graph, "edge", SPANS)
    batches = make_batches(SPANNED, 3)
    with pytest.raises(MismatchError, match="over spans of prompts"):
        evaluate_circuits(model, batches, random_circuits(space), LOGIT_DIFF, Patching())
    numbered = make_batches(SPANNED, 3, spans=SPANS)
    found = evaluate_circuits(model, numbered, random_circuits(space), LOGIT_DIFF, Patching())
    assert np.isfinite(found.circuits).all()


def test_methods_that_have_no_positions_say_so() -> None:
    with pytest.raises(OptionError, match=r"exact is not defined over positions.*EAP"):
        check_positions("exact")
    job = Job(tiny_model("gpt2"), [one_batch()], LOGIT_DIFF, spans=SPANS)
    with pytest.raises(OptionError, match="not defined over positions"):
        attribute(job, "exact")
