"""How masks are drawn, against their closed forms and by sampling; schedules and multipliers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.attribution import METHODS, dbm, edge_pruning
from harness_circuits.attribution.learning.hard_concrete import (
    above_zero,
    hard_concrete,
    log_alpha_of,
)
from harness_circuits.attribution.ugs import uniform_gate

MANY = 200_000


@given(st.floats(0.01, 0.99))
def test_a_gates_probability_is_that_of_its_log_alpha(probability: float) -> None:
    at = torch.tensor(log_alpha_of(probability), dtype=torch.float64)
    assert float(above_zero(at)) == pytest.approx(probability)


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.9])
def test_gates_are_open_as_often_as_they_should(probability: float) -> None:
    at = torch.full((MANY,), log_alpha_of(probability), dtype=torch.float64)
    z = hard_concrete(at, np.random.default_rng(0))
    assert float((z > 0).double().mean()) == pytest.approx(probability, abs=0.005)
    assert float(z.min()) >= 0 and float(z.max()) <= 1 and (z == 1).any()
    # Integrated over the uniform numbers, as what was sampled.
    even = torch.linspace(5e-6, 1 - 5e-6, 100_000, dtype=torch.float64)
    s = ((even.log() - (1 - even).log() + at[0]) / (2 / 3)).sigmoid()
    assert float(z.mean()) == pytest.approx(float((1.2 * s - 0.1).clamp(0, 1).mean()), abs=0.005)


def test_open_gates_are_all_ones_at_the_start_of_edge_pruning() -> None:
    z = hard_concrete(torch.full((1000,), 10.0), np.random.default_rng(0))
    assert float(z.mean()) > 0.999 and float(z.min()) > 0.9


@pytest.mark.parametrize("theta", [0.1, 0.5, 0.8])
def test_uniform_gates_are_between_with_probability_omega(theta: float) -> None:
    u = torch.from_numpy(np.random.default_rng(0).random(MANY))
    at = torch.full((MANY,), theta, dtype=torch.float64, requires_grad=True)
    z = uniform_gate(at, u)
    between = (z > 0) & (z < 1)
    assert float(between.double().mean()) == pytest.approx(theta * (1 - theta), abs=0.005)
    assert float(z.detach().mean()) == pytest.approx(theta, abs=0.005)
    spread = z[between].detach().quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
    torch.testing.assert_close(spread, torch.tensor([0.25, 0.5, 0.75]).double(), atol=0.02, rtol=0)
    (gradient,) = torch.autograd.grad(z.sum(), at)
    torch.testing.assert_close(gradient, between.double(), atol=0, rtol=0)


def gates(**options: Any) -> Any:
    return edge_pruning._Gates(
        50, 0.8, 3.0, {"seed": 0, "steps": 100, "learning_rate": 0.8, **options}
    )


def test_the_multipliers_make_the_gates_shut() -> None:
    learner, removed = gates(steps=400), []
    for step in range(400):
        z = learner.draw(step, np.random.default_rng(step))
        learner.optimiser.zero_grad()
        learner.penalty(step, z).backward()
        learner.optimiser.step()
        removed.append(1 - float(z.mean().detach()))
        if step == 0:  # ascent: what is too little makes lambda negative, so that more pays
            missed = removed[0] - learner.target(0)
            assert np.sign(float(learner.multipliers.detach()[0])) == np.sign(missed)
    assert removed[0] < 0.2 and np.mean(removed[-40:]) > 0.4


def test_schedules_of_edge_pruning() -> None:
    learner = gates()
    rates = [learner.schedule(step) for step in range(100)]
    assert rates[:7] == pytest.approx([(i + 1) / 7 for i in range(7)])
    assert np.all(np.diff(rates[7:]) < 0) and rates[-1] == pytest.approx(1 / 93)
    targets = [learner.target(step) for step in range(100)]
    assert targets[0] == pytest.approx(0.8 / 83) and targets[82:] == pytest.approx([0.8] * 18)
    assert gates(steps=1).schedule(0) == 1


def test_the_masks_of_dbm_harden() -> None:
    learner = dbm._Sigmoids(3, 6.0, 10, 0.3)
    temperatures = [learner.temperature(step) for step in range(10)]
    assert temperatures[0] == 50 and temperatures[-1] == pytest.approx(0.1)
    with torch.no_grad():
        learner.logits.copy_(torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(
        learner.draw(9, np.random.default_rng(0)).detach(),
        torch.tensor([0.0, 0.5, 1.0]).double(),
        atol=1e-4,
        rtol=0,
    )


def test_known_by_other_names() -> None:
    for name in ("matryoshka", "SP", "uniform-gradient-sampling", "EP"):
        with pytest.raises(Exception, match="Did you mean"):
            METHODS.get(name)
