"""CEAP against gates that add increments, and sums that telescope."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import logit_diff
from helpers.reference_cases import BY_HAND, CASES, PAIRS, Case, answers, clean, exact_case
from helpers.tiny_models import tiny_model

from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.ceap import RULES
from harness_circuits.circuits.scores import GRAPH_LEVELS, Level
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches

LOGIT_DIFF = METRICS.get("logit_diff")
ABLATIONS = [name for name in BY_HAND if name != "zero"]


def scores(case: Case, method: str, level: Level, ablation: str, **options: Any) -> np.ndarray:
    job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))
    return attribute(job, method, **options).values


def by_hand(case: Case, level: str, ablation: str, steps: int, rule: str) -> torch.Tensor:
    """Gates that add a step's increments to the run at the step's point, differentiated at 0."""
    reference, metric = case.reference, logit_diff(answers(PAIRS))
    end, start = reference.embed(clean(PAIRS)), case.replacement(ablation)[0]
    total = torch.zeros_like(reference.gates(level))
    for low, high in pairwise(step / steps for step in range(steps + 1)):
        with torch.no_grad():
            ends = [
                reference.run(clean(PAIRS), embedded=torch.lerp(start, end, a))[1]
                for a in (low, high)
            ]
        at = {"left": low, "right": high, "midpoint": (low + high) / 2}[rule]
        gates = reference.gates(level).requires_grad_(True)
        how = {"delta": ends[0] - ends[1], "embedded": torch.lerp(start, end, at)}
        logits, _ = reference.run(clean(PAIRS), gates, **how)
        total -= torch.autograd.grad(metric(logits).mean(), gates)[0]
    return total


@pytest.mark.parametrize("name", CASES)
def test_scores_are_increments_times_gradients(name: str) -> None:
    """Every level, under ablations and rules that take turns."""
    with exact_case(name) as case:
        for at, level in enumerate(GRAPH_LEVELS, CASES.index(name)):
            ablation, rule = ABLATIONS[at % 3], RULES[(at + at // 3) % 3]
            wanted = by_hand(case, level, ablation, 2, rule)
            got = scores(case, "CEAP", level, ablation, ig_steps=2, ig_rule=rule)
            largest = float(wanted.abs().max())
            assert largest > 1e-3
            np.testing.assert_allclose(got, wanted.numpy(), rtol=0, atol=1e-10 * largest)


@pytest.mark.parametrize("name", ["gpt2-ungrouped", "gpt_neox-ungrouped", "gemma2-grouped"])
def test_every_cut_explains_the_whole_path(name: str) -> None:
    """The edges into the logits, and those out of the input, add up to the effect of the embeddings."""
    with exact_case(name) as case:
        found = {}
        for steps in (16, 32):
            how = {"ig_steps": steps, "ig_rule": "midpoint"}
            edge = scores(case, "CEAP", "edge", "patching", **how)
            found[steps] = np.array([edge[:, -1].sum(), edge[0].sum()])
        metric, other = logit_diff(answers(PAIRS)), case.replacement("patching")[0]
        with torch.no_grad():
            before = metric(case.reference.run(clean(PAIRS))[0]).mean()
            after = metric(case.reference.run(clean(PAIRS), embedded=other)[0]).mean()
    effect = float(before - after)
    assert abs(effect) > 1e-2
    richardson = (4 * found[32] - found[16]) / 3  # the midpoint rule's error falls as steps squared
    np.testing.assert_allclose(richardson, effect, atol=2e-3)


@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_the_input_has_its_score_of_eap_ig_inputs(level: Level) -> None:
    """Its increments are equal; all other sources differ."""
    with exact_case("gemma2-grouped") as case:
        for rule in RULES:
            how: dict[str, Any] = {"ig_steps": 3, "ig_rule": rule}
            ours, theirs = (
                scores(case, method, level, "patching", **how)
                for method in ("CEAP", "EAP-IG-inputs")
            )
            np.testing.assert_allclose(ours[0], theirs[0], rtol=0, atol=1e-12 * np.abs(ours).max())
            assert np.abs(ours[1:] - theirs[1:]).max() > 1e-3 * np.abs(theirs).max()


@pytest.mark.parametrize("rule", RULES)
def test_one_step_is_a_gradient_at_its_end(rule: str) -> None:
    """From end to end the increment is the whole difference: at the clean end that is EAP."""
    with exact_case("gpt_neox-ungrouped") as case:
        one = {"ig_steps": 1, "ig_rule": rule}
        ours, theirs = (
            scores(case, method, "edge", "patching", **one) for method in ("CEAP", "EAP-IG-inputs")
        )
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(ours).max())
        eap = scores(case, "EAP", "edge", "patching")
        assert np.allclose(ours, eap, rtol=0, atol=1e-10 * np.abs(eap).max()) == (rule == "right")


@pytest.mark.parametrize("rule", RULES)
def test_points_side_by_side_are_points_one_by_one(rule: str) -> None:
    apart, beside = (
        attribute(
            Job(tiny_model("llama"), make_batches(PAIRS, 3, room=room), METRICS.get("kl"), "node"),
            "CEAP",
            ig_rule=rule,
        ).values
        for room in (3, 9)
    )
    np.testing.assert_allclose(beside, apart, rtol=0, atol=1e-9 * np.abs(apart).max())
