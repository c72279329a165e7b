"""EAP-GP: its path by autograd through the reference, and what the path does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.reference import Reference, logit_diff
from helpers.reference_cases import CASES, PAIRS, answers, clean, corrupted, exact_case
from helpers.tiny_models import tiny_model, token_batches
from torch import Tensor

from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.eap_gp import _GradientPath
from harness_circuits.circuits.scores import LEVELS, Level
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.passes.native import NativeRun

LOGIT_DIFF = METRICS.get("logit_diff")


def path(reference: Reference, steps: int, step_size: float) -> list[Tensor]:
    """Embeddings after every step, each prompt by itself."""
    goal, points = reference.run(corrupted(PAIRS))[0], [reference.embed(clean(PAIRS))]
    for _ in range(steps):
        x = points[-1].detach().requires_grad_(True)
        distance = (reference.run(clean(PAIRS), embedded=x)[0] - goal).square().sum()
        (gradient,) = torch.autograd.grad(distance, x)
        points.append(
            torch.stack([p - step_size * g / g.norm() for p, g in zip(x, gradient, strict=True)])
        )
    return [point.detach() for point in points[1:]]


@pytest.mark.parametrize("name", CASES)
def test_scores_are_gradients_along_the_path(name: str) -> None:
    with exact_case(name) as case:
        reference, level = case.reference, LEVELS[CASES.index(name) % 3]
        job = Job(case.model, [case.batch], LOGIT_DIFF, level)
        got = attribute(job, "EAP-GP", gp_steps=2, step_size=0.5).values
        with torch.no_grad():
            delta = reference.outputs(corrupted(PAIRS)) - reference.outputs(clean(PAIRS))
        wanted = torch.zeros_like(reference.gates(level))
        for embedded in path(reference, 2, 0.5):
            gates = reference.gates(level).requires_grad_(True)
            logits, _ = reference.run(clean(PAIRS), gates, delta=delta, embedded=embedded)
            metric = logit_diff(answers(PAIRS))(logits).mean()
            wanted -= torch.autograd.grad(metric, gates)[0] / 2
        largest = float(wanted.abs().max())
        assert largest > 1e-3
        np.testing.assert_allclose(got, wanted.numpy(), rtol=0, atol=1e-8 * largest)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("architecture", ["gpt2", "gemma2"])
def test_a_path_of_no_length_is_eap(architecture: str, level: Level) -> None:
    job = Job(tiny_model(architecture), token_batches(), LOGIT_DIFF, level)
    eap = attribute(job, "EAP").values
    still = attribute(job, "EAP-GP", step_size=0, gp_steps=2).values
    np.testing.assert_allclose(still, eap, rtol=0, atol=1e-9 * np.abs(eap).max())


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
def test_small_steps_bring_the_logits_nearer(architecture: str) -> None:
    model, (batch,) = tiny_model(architecture), token_batches()
    walk = _GradientPath(Job(model, [batch], LOGIT_DIFF), batch, 0.02)
    point, distances = walk.start, []
    for _ in range(4):
        with torch.no_grad():
            logits = model.forward(batch.clean, NativeRun(model, (), point))
        distances.append((logits - walk.goal).square().sum((1, 2)))
        before, point = point, walk.next(point)
        lengths = (point - before).flatten(1).norm(dim=1)
        torch.testing.assert_close(lengths, torch.full_like(lengths, 0.02))
    assert all((b < a).all() for a, b in pairwise(distances))
