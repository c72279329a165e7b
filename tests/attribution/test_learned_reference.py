"""Learned masks, whole runs: the loop with brute force's gradients of every gate learns the same."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from helpers.defined import LEARNED, few_steps
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
from torch import Tensor

from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.learning.objectives import Objective
from harness_circuits.circuits.scores import GRAPH_LEVELS, Level
from harness_circuits.metrics.metrics import METRICS

LOGIT_DIFF = METRICS.get("logit_diff")
COMBINATIONS = [
    (CASES[at % len(CASES)], *parts)
    for at, parts in enumerate(product(LEARNED, GRAPH_LEVELS, BY_HAND))
]


def by_gates(case: Case, ablation: str) -> Any:
    """The loss of a mask on all pairs, and its gradient, by the reference."""
    prompts, replacement = (clean(PAIRS), corrupted(PAIRS)), case.replacement(ablation)

    def gradient(self: Objective, mask: Tensor, part: Any, data: Any) -> tuple[float, Tensor]:
        assert len(part.batch) == len(PAIRS)
        real = torch.from_numpy(self.job.space.real)
        gates = torch.ones(self.job.space.shape, dtype=torch.float64)
        gates[real] = 1 - mask.detach()
        gates.requires_grad_()

        def metric(at: Tensor) -> Tensor:
            how = {"replacement": replacement}
            return gated_metric(case.reference, *prompts, at, answers(PAIRS), **how)

        loss = -metric(gates)
        if self.name == "match":
            loss = (metric(gates) - metric(torch.zeros_like(gates))).square()
        (found,) = torch.autograd.grad(loss.sum(), gates)
        return float(loss.detach().sum()), -found[real]

    return gradient


@pytest.mark.parametrize(("name", "method", "level", "ablation"), COMBINATIONS)
def test_runs_are_those_of_the_gated_reference(
    name: str, method: str, level: Level, ablation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exact_case(name) as case:
        job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))
        few = {**few_steps(method), "steps": 3, "pairs_per_step": len(PAIRS), "learning_rate": 0.1}
        few["objective"] = ("metric", "match")[
            COMBINATIONS.index((name, method, level, ablation)) % 2
        ]
        got = attribute(job, method, **few)
        monkeypatch.setattr(Objective, "gradient", by_gates(case, ablation))
        wanted = attribute(job, method, **few)
        spread = np.ptp(wanted.values)
        np.testing.assert_allclose(got.values, wanted.values, rtol=0, atol=1e-4 * spread)
        losses = [x.provenance["loss_curve"]["loss"] for x in (got, wanted)]
        np.testing.assert_allclose(*losses, rtol=1e-8, atol=1e-9)
        assert spread > 1e-4
