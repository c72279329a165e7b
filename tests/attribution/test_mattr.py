"""The soft top-k of MAttr."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.tiny_models import tiny_model, token_batches
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.attribution import METHODS, Job, attribute, mattr
from harness_circuits.attribution.mattr import soft_top_k
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import OptionError, UnknownNameError
from harness_circuits.metrics.metrics import METRICS

numbers = st.lists(st.floats(-20, 20), min_size=1, max_size=12)


@given(numbers, st.floats(0.01, 0.99), st.floats(0.05, 3))
def test_it_adds_up_to_k_in_the_order_of_the_scores(
    scores: list[float], share: float, temperature: float
) -> None:
    s, k = torch.tensor(scores, dtype=torch.float64), share * len(scores)
    z = soft_top_k(s, k, temperature)
    assert abs(float(z.sum()) - k) < 1e-6
    assert (z[s.argsort()].diff() >= 0).all()
    order = torch.randperm(len(s), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(soft_top_k(s[order], k, temperature), z[order])
    torch.testing.assert_close(soft_top_k(s + 3, k, temperature), z)


def test_its_gradient_is_its_finite_difference() -> None:
    for n, k in ((1, 0.5), (5, 2.3), (6, 5.9)):
        s = torch.from_numpy(np.random.default_rng(n).normal(size=n)).requires_grad_()
        assert torch.autograd.gradcheck(lambda x, k=k: soft_top_k(x, k, 0.7), s, atol=1e-9)
    ties = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: soft_top_k(x, 1.5, 0.5), ties, atol=1e-9)


def test_all_of_them_are_ones() -> None:
    s = torch.tensor([3.0, -9.0], dtype=torch.float64, requires_grad=True)
    z = soft_top_k(s, 2.0, 0.5)
    assert z.tolist() == [1.0, 1.0]
    assert torch.autograd.grad(z.sum(), s)[0].tolist() == [0.0, 0.0]


def test_sizes_are_drawn_from_the_least_to_all() -> None:
    for sampling, middle in (("uniform", 505.0), ("log", 100.0)):
        order = mattr._Order(torch.zeros(1000), sampling, 10.0, 0.5, 0.1)
        assert [order.size(u) for u in (0.0, 0.5, 1.0)] == pytest.approx([10.0, middle, 1000.0])
    assert mattr._Order(torch.zeros(1000), "log", 1.0, 0.5, 0.1).size(0.5) == pytest.approx(
        1000**0.5
    )
    mixed = mattr._Order(torch.zeros(1000), "mixed", 10.0, 0.5, 0.1)
    halves = [[mixed.size(first + u / 2) for u in (0.0, 0.5)] for first in (0.0, 0.5)]
    assert halves == [pytest.approx([10.0, 100.0]), pytest.approx([10.0, 505.0])]


def test_many_equal_scores_have_equal_shares() -> None:
    z = soft_top_k(torch.zeros(1000, dtype=torch.float64), 7.0, 0.5)
    torch.testing.assert_close(z, torch.full_like(z, 0.007))


@pytest.mark.parametrize("objective", ["metric", "match"])
def test_it_starts_from_the_order_of_a_method(objective: str) -> None:
    job = Job(tiny_model("gpt2"), token_batches(4, 6), METRICS.get("logit_diff"))
    few = {"steps": 1, "pairs_per_step": 2, "learning_rate": 1e-9, "objective": objective}
    got = attribute(job, "MAttr", start="EAP", **few).values[job.space.real]
    eap = attribute(job, "EAP").values[job.space.real]
    wanted = eap if objective == "metric" else np.abs(eap)
    assert np.array_equal(np.argsort(-got, kind="stable"), np.argsort(-wanted, kind="stable"))
    for share in (0.1, 0.5):
        k = int(share * len(got))
        z = soft_top_k(torch.from_numpy(got), k, 0.5)
        assert float(z[torch.from_numpy(got).topk(k).indices].mean()) > 0.6


def test_what_it_starts_from_is_counted() -> None:
    method, space = METHODS.get("MAttr"), ScoreSpace(tiny_model("gpt2").graph)
    plain, warm = method.defaults, method.defaults | {"start": "EAP"}
    assert method.passes(space, warm) == method.passes(space, plain) + 4
    assert method.needs("edge", warm) == method.needs("edge", plain)
    patched = method.needs("edge", plain | {"start": "exact"})
    assert patched.patched and not method.needs("edge", plain).patched


def test_what_cannot_be_started_from_is_refused() -> None:
    job = Job(tiny_model("gpt2"), token_batches(2, 6), METRICS.get("logit_diff"), "neuron")
    with pytest.raises(OptionError, match="start=UGS learns masks itself"):
        attribute(job, "MAttr", start="UGS")
    with pytest.raises(OptionError, match="AtP-star is not defined at level=neuron"):
        attribute(job, "MAttr", start="AtP-star")
    with pytest.raises(UnknownNameError, match="Did you mean 'EAP'"):
        attribute(job, "MAttr", start="eap")
