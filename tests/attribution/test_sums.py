"""Sums over batches, with those of groups of examples."""

from __future__ import annotations

import numpy as np
from helpers.tiny_models import tiny_model, token_batches
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.sums import group_batches
from harness_circuits.circuits.scores import Level
from harness_circuits.metrics.metrics import METRICS

N, SIZE = 7, 2


def job(*, size: int = SIZE, keep: int = 4, level: Level = "edge") -> Job:
    batches = token_batches(N, size=size)
    return Job(tiny_model("llama"), batches, METRICS.get("logit_diff"), level, keep_samples=keep)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 40))
def test_groups_are_consecutive_bounded_and_about_equal(sizes: list[int], keep: int) -> None:
    groups = group_batches(sizes, keep)
    assert len(groups) == len(sizes)
    assert groups[0] == 0 and set(np.diff(groups)) <= {0, 1}
    n_groups = groups[-1] + 1
    assert n_groups <= min(keep, len(sizes))
    of_group = np.bincount(groups, weights=sizes)
    assert of_group.max() < sum(sizes) / keep + max(sizes)


def test_several_batches_share_a_sample() -> None:
    scores = attribute(job(size=1, keep=3), "EAP")
    assert scores.samples is not None
    assert scores.samples.sizes.tolist() == [3, 2, 2]
    fine = attribute(job(size=1, keep=N), "EAP")
    assert fine.samples is not None
    np.testing.assert_allclose(
        scores.samples.sums[1], fine.samples.sums[3:5].sum(0), atol=1e-6 * np.abs(fine.values).max()
    )
    np.testing.assert_array_equal(scores.values, fine.values)
