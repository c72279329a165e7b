"""How masks are drawn, against their closed forms and by sampling; schedules and multipliers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny_models import tiny_model, token_batches
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.attribution import METHODS, Job, check_method, dbm, edge_pruning, ugs
from harness_circuits.attribution.learning.hard_concrete import (
    above_zero,
    hard_concrete,
    log_alpha_of,
)
from harness_circuits.attribution.ugs import head_term, uniform_gates
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import OptionError
from harness_circuits.metrics.metrics import METRICS

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
    u = torch.from_numpy(np.random.default_rng(0).random((MANY, 1)))
    at = torch.tensor([theta], dtype=torch.float64, requires_grad=True)
    z = uniform_gates(at, u)
    between = (z > 0) & (z < 1)
    assert float(between.double().mean()) == pytest.approx(theta * (1 - theta), abs=0.005)
    assert float(z.detach().mean()) == pytest.approx(theta, abs=0.005)
    spread = z[between].detach().quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
    torch.testing.assert_close(spread, torch.tensor([0.25, 0.5, 0.75]).double(), atol=0.02, rtol=0)
    weights = torch.from_numpy(np.random.default_rng(1).random((MANY, 1)))
    (gradient,) = torch.autograd.grad((weights * z).mean(), at)
    assert float(gradient) == pytest.approx(float(weights[between].mean()), rel=1e-9)


def test_a_gate_that_is_never_between_has_no_gradient() -> None:
    at = torch.tensor([0.3, 0.3], dtype=torch.float64, requires_grad=True)
    z = uniform_gates(at, torch.tensor([[0.99, 0.3], [0.001, 0.3]], dtype=torch.float64))
    assert z.tolist() == [[0, 0.5], [1, 0.5]]
    (gradient,) = torch.autograd.grad(z.mean(0).sum(), at)
    assert gradient.tolist() == [0, 1]


def test_the_gradient_of_uniform_gates_is_that_of_the_mean_loss() -> None:
    """Of a loss that is linear in every single z, whose mean is its value at theta."""
    at = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64, requires_grad=True)

    def loss(z: torch.Tensor) -> torch.Tensor:
        first, second, third = z.unbind(-1)
        return 2 * first - 3 * first * second + second * third

    z = uniform_gates(at, torch.from_numpy(np.random.default_rng(0).random((MANY, 3))))
    (found,) = torch.autograd.grad(loss(z).mean(), at)
    (wanted,) = torch.autograd.grad(loss(at), at)
    torch.testing.assert_close(found, wanted, atol=0.03, rtol=0)


GRAPHS = [
    Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=4),
    Graph(n_layers=3, n_heads=4, n_kv_heads=2, d_model=4),
    Graph(n_layers=2, n_heads=3, n_kv_heads=1, d_model=4, parallel=True),
]


@pytest.mark.parametrize("graph", GRAPHS, ids=repr)
def test_the_node_term_is_the_sum_over_heads_by_name(graph: Graph) -> None:
    space = ScoreSpace(graph)
    theta = np.random.default_rng(0).random(space.n_units) * 3  # where tanh bends
    edges = [space.unit_name(*at) for at in np.argwhere(space.real)]
    group, wanted = graph.n_heads // graph.n_kv_heads, 0.0
    scale = graph.n_layers * graph.n_heads / 2
    for layer, head in np.ndindex(graph.n_layers, graph.n_heads):
        name, shared = f"a{layer}.h{head}", f"a{layer}.h{head // group}"
        into = {f"{name}<q>", f"{shared}<k>", f"{shared}<v>"}
        own = [
            x
            for x, edge in zip(theta, edges, strict=True)
            for e in [edge.split("->")]
            if e[0] == name or e[1] in into
        ]
        wanted += scale * np.tanh(sum(own) / scale)
    at = torch.from_numpy(theta).requires_grad_()
    assert head_term(space, at).item() == pytest.approx(wanted, rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: head_term(space, x), at)


def test_the_node_term_makes_the_last_edges_of_a_head_dear() -> None:
    space = ScoreSpace(GRAPHS[0])
    few = torch.zeros(space.n_units, dtype=torch.float64, requires_grad=True)
    (dear,) = torch.autograd.grad(head_term(space, few), few)
    named = {
        space.unit_name(*at): float(x) for at, x in zip(np.argwhere(space.real), dear, strict=True)
    }
    assert named["input->m0"] == 0 and named["m0->logits"] == 0, "no head at either end"
    assert named["input->a0.h0<q>"] == named["a1.h1->logits"] == 1, "one head"
    assert named["a0.h0->a1.h1<k>"] == 2, "a head at each end"
    many = torch.full_like(few, 5.0).requires_grad_()
    (cheap,) = torch.autograd.grad(head_term(space, many), many)
    assert float(cheap.max()) < 0.01


def test_ugs_takes_the_published_weight_of_the_node_term(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr(
        ugs, "learn", lambda job, name, learner, how: seen.append(learner.node_weight)
    )
    job = Job(tiny_model("gpt2"), token_batches(2, 4), METRICS.get("logit_diff"))
    for options in (
        {},
        {"penalty": 1e-4},
        {"penalty": 1.0},
        {"node_penalty": 0.0},
        {"node_penalty": 3.0},
    ):
        how = {**METHODS.get("UGS").defaults, **options}
        ugs.ugs(job, **how)
        ugs.ugs(replace(job, level="node"), **{**how, "node_penalty": None})
    assert seen == [2e-4, 0, 5e-5, 0, 2e-4, 0, 0, 0, 3, 0]


def test_the_node_term_is_edges_alone() -> None:
    logit_diff = METRICS.get("logit_diff")
    check_method("UGS", "edge", "patching", logit_diff, {"node_penalty": 1e-3})
    check_method("UGS", "node", "patching", logit_diff, METHODS.get("UGS").defaults)
    with pytest.raises(
        OptionError,
        match=r"has a meaning at level=edge only, got node_penalty=0\.001 at level=node\. Leave it",
    ):
        check_method("UGS", "node", "patching", logit_diff, {"node_penalty": 1e-3})


def test_the_penalty_of_ugs_has_both_terms() -> None:
    learner = ugs._Probabilities(ScoreSpace(GRAPHS[0]), (0.5, 0.25), 2, 0.1)
    theta = learner.w.sigmoid()
    wanted = 0.5 * theta.sum() + 0.25 * head_term(learner.space, theta)
    mask = learner.draw(0, np.random.default_rng(0))
    assert learner.penalty(0, mask).item() == pytest.approx(wanted.item(), rel=1e-12)


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
