"""The mean of several methods' scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.selection_cases import random_scores, with_samples
from helpers.tiny_models import tiny_model, token_batches
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.ensemble import ensemble
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import CircuitError, NumericalError, OptionError, UnknownNameError
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.settings import Settings

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=2)
A, B = random_scores(GRAPH, 1), random_scores(GRAPH, 2)


def times(scores: Scores, factor: float) -> Scores:
    return replace(scores, values=scores.values * factor)


def job(keep: int = 0) -> Job:
    batches = token_batches(4, size=2)
    return Job(tiny_model("llama"), batches, METRICS.get("logit_diff"), keep_samples=keep)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.sampled_from(["sum", "max"]))
def test_a_member_s_scale_does_not_matter(a: float, b: float, normalise: str) -> None:
    plain = ensemble([A, B], normalise).values
    np.testing.assert_allclose(ensemble([times(A, a), times(B, b)], normalise).values, plain)
    np.testing.assert_allclose(ensemble([B, A], normalise).values, plain)


def test_normalisations() -> None:
    size_a, size_b = np.abs(A.values), np.abs(B.values)
    expected = (A.values / size_a.sum() + B.values / size_b.sum()) / 2
    np.testing.assert_allclose(ensemble([A, B]).values, expected)
    expected = (A.values / size_a.max() + B.values / size_b.max()) / 2
    np.testing.assert_allclose(ensemble([A, B], "max").values, expected)
    np.testing.assert_allclose(ensemble([A, B], "none").values, (A.values + B.values) / 2)
    assert np.abs(ensemble([A]).values).sum() == pytest.approx(1)
    np.testing.assert_array_equal(ensemble([A], "none").values, A.values)


def test_opposite_members_cancel() -> None:
    np.testing.assert_allclose(ensemble([A, times(A, -3)]).values, 0, atol=1e-15)


def test_samples_are_combined_like_the_scores() -> None:
    a, b = with_samples(A, seed=0), with_samples(B, seed=0)
    both = ensemble([a, b])
    assert both.samples is not None
    total = both.samples.sums.sum(0) / both.samples.sizes.sum()
    np.testing.assert_allclose(total, both.values, atol=1e-7)
    assert ensemble([a, B]).samples is None
    assert ensemble([a, with_samples(B, seed=1)]).samples is None


def test_as_a_method_it_is_the_mean_of_its_members() -> None:
    scores = attribute(job(), "ensemble", methods="EAP:EAP-IG-inputs")
    members = [attribute(job(), name) for name in ("EAP", "EAP-IG-inputs")]
    np.testing.assert_allclose(scores.values, ensemble(members).values, atol=1e-12)
    assert scores.provenance["method"] == "ensemble"
    assert [m["method"] for m in scores.provenance["members"]] == ["EAP", "EAP-IG-inputs"]
    assert scores.provenance["members"][1]["ig_steps"] == 5
    listed = attribute(job(), "ensemble", methods=["EAP", "EAP-IG-inputs"])
    np.testing.assert_array_equal(listed.values, scores.values)


def test_as_a_method_it_keeps_samples() -> None:
    scores = attribute(job(keep=2), "ensemble")
    assert scores.samples is not None
    total = scores.samples.sums.sum(0) / 4
    np.testing.assert_allclose(total, scores.values, atol=1e-5 * np.abs(scores.values).max())


@pytest.mark.parametrize("methods", ["EAP", "EAP:EAP", "EAP:ensemble", ""])
def test_too_few_members_are_refused(methods: str) -> None:
    with pytest.raises(OptionError, match=r"two or more different methods.*EAP:EAP-IG-inputs"):
        attribute(job(), "ensemble", methods=methods)


@pytest.mark.parametrize("methods", [123, [], None, [["EAP"]], "", "EAP", "EAP:nope", ["EAP", 3]])
def test_members_are_checked_with_the_settings(methods: Any) -> None:
    with pytest.raises(CircuitError, match=r"two or more different methods|nope"):
        Settings(method="ensemble", method_options={"methods": methods})


def test_members_have_to_be_defined_for_the_level_and_the_ablation() -> None:
    several = {"method_options": {"methods": "EAP:clean-corrupted"}}
    settings = Settings(method="ensemble", ablation="mean", **several)
    with pytest.raises(
        OptionError, match="method=clean-corrupted is not defined for ablation=mean"
    ):
        settings.method_for(METRICS.get("logit_diff"))


def test_members_are_checked_before_any_pass() -> None:
    model = tiny_model("llama")
    before = dict(model.counts)
    with pytest.raises(UnknownNameError, match="Did you mean 'EAP'"):
        attribute(job(), "ensemble", methods="EAP-IG-inputs:EAPS")
    with pytest.raises(OptionError, match="method=EAP needs a metric with gradients"):
        attribute(replace(job(), metric=METRICS.get("accuracy")), "ensemble")
    with pytest.raises(OptionError, match="method=random does not score example by example"):
        attribute(job(keep=2), "ensemble", methods="EAP:random")
    with pytest.raises(OptionError, match="Did you mean 'max'"):
        attribute(job(), "ensemble", normalise="maxi")
    assert dict(model.counts) == before


def test_scores_that_cannot_be_combined_are_refused() -> None:
    other = random_scores(Graph(n_layers=1, n_heads=2, n_kv_heads=2, d_model=2))
    with pytest.raises(OptionError, match="different graphs or levels"):
        ensemble([A, other])
    with pytest.raises(OptionError, match="at least one method"):
        ensemble([])
    with pytest.raises(NumericalError, match="cannot be normalised by their sum"):
        ensemble([A, times(B, 0)])
