"""EAP-IG-circuits against gates that are all open by the same amount, and its completeness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.reference import gated_metric
from helpers.reference_cases import (
    BY_HAND,
    CASES,
    PAIRS,
    Case,
    answers,
    clean,
    corrupted,
    exact_case,
)
from helpers.tiny_models import ARCHITECTURES, tiny_model, token_batches

from harness_circuits.ablation.patching import Patching
from harness_circuits.ablation.zero import Zero
from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.eap_ig_inputs import RULES
from harness_circuits.attribution.gradient import even_points
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import GRAPH_LEVELS, LEVELS, Level
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuit

LOGIT_DIFF = METRICS.get("logit_diff")
KINKED = ("olmo", "opt")  # clipped queries, ReLU: quadratures converge slowly


def scores(case: Case, level: Level, ablation: str, steps: int, rule: str) -> np.ndarray:
    job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))
    return attribute(job, "EAP-IG-circuits", ig_steps=steps, ig_rule=rule).values


def slope(case: Case, level: str, ablation: str, share: float) -> torch.Tensor:
    """Minus the gradient of the mean metric by gates that are all open by 1 - share."""
    gates = (case.reference.gates(level) + 1 - share).requires_grad_(True)
    how = {"replacement": case.replacement(ablation)}
    prompts = clean(PAIRS), corrupted(PAIRS)
    metric = gated_metric(case.reference, *prompts, gates, answers(PAIRS), **how).mean()
    return -torch.autograd.grad(metric, gates)[0]


@pytest.mark.parametrize("name", CASES)
def test_scores_are_slopes_of_partly_open_gates(name: str) -> None:
    """Every level, under ablations and rules that take turns."""
    with exact_case(name) as case:
        for at, level in enumerate(GRAPH_LEVELS, CASES.index(name)):
            ablation, rule = BY_HAND[at % len(BY_HAND)], RULES[at % len(RULES)]
            got = scores(case, level, ablation, 2, rule)
            points = even_points(rule, 2)
            wanted = sum(p.weight * slope(case, level, ablation, p.alpha) for p in points)
            assert isinstance(wanted, torch.Tensor)
            largest = float(wanted.abs().max())
            assert largest > 1e-3
            np.testing.assert_allclose(got, wanted.numpy(), rtol=0, atol=1e-10 * largest)


@pytest.mark.parametrize("name", CASES[: len(ARCHITECTURES)])
def test_scores_add_up_to_the_model_less_the_empty_circuit(name: str) -> None:
    """Completeness, under ablations that take turns; EAP's scores do not add up."""
    with exact_case(name) as case:
        at = CASES.index(name)
        learned = case.model.position_table is not None  # without, `zero` leaves a stream of zeros
        ablation = "zero" if learned else [x for x in BY_HAND if x != "zero"][at % 3]
        steps = 192 if name.startswith("gpt_neo-") else 96  # its attention is not scaled down
        tolerance = 5e-2 if name.split("-")[0] in KINKED else 1e-6
        beside = make_batches(PAIRS, len(PAIRS), room=24 * len(PAIRS))
        job = Job(case.model, beside, LOGIT_DIFF, "node", case.ablation(ablation))
        found = attribute(job, "EAP-IG-circuits", ig_steps=steps)
        total = found.values.sum()
        eap = attribute(job, "EAP").values.sum()
        with torch.no_grad():
            replacement = job.ablation.replacement(case.model, case.batch)
            stream = AblatedStream(case.model, case.batch.clean, replacement)
            nothing = Circuit.empty(job.space)
            empty = run_circuit(case.model, nothing, case.batch.clean, stream)
            full = case.model.forward(case.batch.clean)
        model, floor = (float(LOGIT_DIFF(x, case.batch).mean()) for x in (full, empty))
        assert abs(model - floor) > 1e-2
        assert total == pytest.approx(model - floor, abs=tolerance)
        assert found.provenance["score_sum"] == pytest.approx(total)
        assert found.provenance["metric_gap"] == pytest.approx(model - floor)
        assert abs(eap - (model - floor)) > 1e-2


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "gemma2"])
def test_one_point_at_the_model_is_eap(architecture: str, level: Level) -> None:
    job = Job(tiny_model(architecture), token_batches(), LOGIT_DIFF, level, Zero())
    eap = attribute(job, "EAP").values
    one = attribute(job, "EAP-IG-circuits", ig_steps=1, ig_rule="right").values
    np.testing.assert_allclose(one, eap, rtol=0, atol=1e-9 * np.abs(eap).max())


def test_points_side_by_side_are_points_one_by_one() -> None:
    model, pairs = tiny_model("gemma2"), PAIRS
    for metric in ("logit_diff", "kl"):
        apart, beside = (
            attribute(
                Job(model, make_batches(pairs, 3, room=room), METRICS.get(metric), "edge", Zero()),
                "EAP-IG-circuits",
            ).values
            for room in (3, 9)
        )
        np.testing.assert_allclose(beside, apart, rtol=0, atol=1e-9 * np.abs(apart).max())


def test_what_the_points_miss_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """A stream of zeros has no direction, so that its norms jump where the path begins."""
    job = Job(tiny_model("llama"), token_batches(), LOGIT_DIFF, "node", Zero())
    attribute(job, "EAP-IG-circuits")
    assert "the scores add up to" in caplog.text and "few do under ablation=zero" in caplog.text
    caplog.clear()
    attribute(replace(job, ablation=Patching()), "EAP-IG-circuits", ig_steps=32)
    assert not caplog.text
