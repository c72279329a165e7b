"""The soft top-k of MAttr."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.attribution import mattr
from harness_circuits.attribution.mattr import soft_top_k

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
        assert torch.autograd.gradcheck(lambda x, k=k: soft_top_k(x, k, 0.7), s, atol=1e-6)
    ties = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: soft_top_k(x, 1.5, 0.5), ties, atol=1e-6)


def test_all_of_them_are_ones() -> None:
    s = torch.tensor([3.0, -9.0], dtype=torch.float64, requires_grad=True)
    z = soft_top_k(s, 2.0, 0.5)
    assert z.tolist() == [1.0, 1.0]
    assert torch.autograd.grad(z.sum(), s)[0].tolist() == [0.0, 0.0]


def test_sizes_are_drawn_from_the_least_to_all() -> None:
    for sampling, middle in (("uniform", 505.0), ("log", 100.0)):
        order = mattr._Order(1000, sampling, 10.0, 0.5, 0.1)
        assert [order.size(u) for u in (0.0, 0.5, 1.0)] == pytest.approx([10.0, middle, 1000.0])
    assert mattr._Order(1000, "log", 1.0, 0.5, 0.1).size(0.5) == pytest.approx(1000**0.5)


def test_many_equal_scores_have_equal_shares() -> None:
    z = soft_top_k(torch.zeros(1000, dtype=torch.float64), 7.0, 0.5)
    torch.testing.assert_close(z, torch.full_like(z, 0.007))
