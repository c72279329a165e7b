"""What attribution methods have in common: parity, refusals, invariances, nothing left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.defined import BY_LEVEL, LEARNED, RUNS_THE_MODEL, few_steps
from helpers.parity_fixtures import ARCHITECTURES as PARITY
from helpers.parity_fixtures import (
    arrays,
    assert_parity,
    needs_parity,
    parity_batches,
    parity_model,
)
from helpers.tiny_models import random_hf, tiny_model, token_pairs

from harness_circuits.ablation import make_ablation
from harness_circuits.ablation.patching import Patching
from harness_circuits.ablation.zero import Zero
from harness_circuits.attribution import METHODS, Job, attribute, check_method
from harness_circuits.circuits.scores import GRAPH_LEVELS, Level
from harness_circuits.errors import OptionError
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches

LOGIT_DIFF = METRICS.get("logit_diff")
RUN_BY_LEVEL = [x for x in BY_LEVEL if x[0] in RUNS_THE_MODEL]
N = 6  # recorded gradient scores are divided by the batch size once more than ours


def parity_scores(architecture: str, method: str, level: Level = "edge", **options: Any) -> Any:
    job = Job(parity_model(architecture), parity_batches(architecture), LOGIT_DIFF, level)
    return attribute(job, method, **options).values


@needs_parity
@pytest.mark.parametrize("architecture", PARITY)
@pytest.mark.parametrize(
    ("array", "method", "level", "options"),
    [
        ("truth_edge_clean_corrupted", "clean-corrupted", "edge", {}),
        ("truth_edge_EAP_IG_activations_own_group", "EAP-IG-activations", "edge", {}),
        (
            "truth_edge_EAP_IG_activations_all_groups",
            "EAP-IG-activations",
            "edge",
            {"sites": "all"},
        ),
        ("truth_edge_information_flow_routes", "information-flow-routes", "edge", {}),
        ("truth_edge_exact_patching", "exact", "edge", {}),
        ("edge_exact_patching_fresh_graph_per_edge", "exact", "edge", {}),
        ("truth_node_exact_patching", "exact", "node", {}),
    ],
)
def test_parity(
    architecture: str, array: str, method: str, level: Level, options: dict[str, Any]
) -> None:
    expected = arrays(architecture)[array]
    got = parity_scores(architecture, method, level, **options)
    known = np.isfinite(expected)
    assert known.mean() > 0.95
    assert np.isfinite(got).all()
    assert_parity(np.where(known, got, 0), np.where(known, expected, 0))


@needs_parity
@pytest.mark.parametrize(
    ("architecture", "array", "method", "options"),
    [
        *(
            (name, "edge_clean_corrupted", "clean-corrupted", {})
            for name in ("gpt2", "llama", "gpt_neox")
        ),
        ("gpt2", "edge_EAP_IG_activations", "EAP-IG-activations", {"sites": "all"}),
    ],
)
def test_parity_with_the_reference_code_where_it_is_right(
    architecture: str, array: str, method: str, options: dict[str, Any]
) -> None:
    got = parity_scores(architecture, method, **options)
    assert_parity(got, arrays(architecture)[array] * N)


@pytest.mark.parametrize(
    ("method", "level", "ablation", "metric", "message"),
    [
        ("clean-corrupted", "edge", "zero", "logit_diff", "not defined for ablation=zero"),
        ("clean-corrupted", "edge", "mean", "logit_diff", "it is for patching"),
        ("EAP-IG-inputs", "node", "zero", "logit_diff", "not defined for ablation=zero"),
        ("information-flow-routes", "node", "patching", "logit_diff", "level=node; it is at edge"),
        ("information-flow-routes", "neuron", "zero", "logit_diff", "not defined at level=neuron"),
        (
            "AtP-star",
            "neuron",
            "patching",
            "logit_diff",
            "level=neuron; it is at edge, node, mlp-neuron",
        ),
        ("clean-corrupted", "edge", "patching", "accuracy", "needs a metric with gradients"),
        ("EAP-IG-activations", "edge", "zero", "accuracy", "needs a metric with gradients"),
        ("RelP", "node", "mean", "top5_accuracy", "needs a metric with gradients"),
        ("AtP-star", "edge", "mean", "accuracy", "needs a metric with gradients"),
    ],
)
def test_undefined_combinations_are_refused(
    method: str, level: str, ablation: str, metric: str, message: str
) -> None:
    with pytest.raises(OptionError, match=message) as error:
        check_method(method, level, ablation, METRICS.get(metric))
    assert f"method={method}" in str(error.value)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (
            "EAP-IG-activations",
            {"sites": "some"},
            "Unknown sites 'some'. Known: own, all, reference",
        ),
        ("EAP-IG-activations", {"ig_steps": 0}, "ig_steps is a whole number from 1 to 1000, got 0"),
        ("EAP-IG-activations", {"ig_rule": "simpson"}, "Unknown ig_rule 'simpson'"),
        (
            "information-flow-routes",
            {"head_outputs": 1},
            "Unknown head_outputs 1. Known: raw, normed",
        ),
        ("RelP", {"ln_rule": "on"}, "ln_rule is true or false, got 'on'"),
        ("RelP", {"ah_rule": 1}, "ah_rule is true or false, got 1"),
        ("AtP-star", {"qk_fix": None}, "qk_fix is true or false, got None"),
        ("AtP-star", {"grad_drop": "half"}, "grad_drop is true or false, got 'half'"),
        ("exact", {"ig_steps": 5}, "method=exact: Unknown option 'ig_steps'. There are none"),
        ("clean-corrupted", {"seed": 0}, "method=clean-corrupted: Unknown option 'seed'"),
    ],
)
def test_bad_options_are_refused_before_any_pass(
    method: str, options: dict[str, Any], message: str
) -> None:
    model = tiny_model("llama")
    before = dict(model.counts)
    with pytest.raises(OptionError, match=message):
        attribute(Job(model, make_batches(token_pairs(), 4), LOGIT_DIFF), method, **options)
    assert dict(model.counts) == before


@pytest.mark.parametrize(
    ("method", "level"), [item for item in RUN_BY_LEVEL if item[0] not in LEARNED]
)
def test_batches_and_order_change_nothing(method: str, level: Level) -> None:
    model = tiny_model("gemma2")
    pairs = [*token_pairs(3, 6), *token_pairs(2, 5, seed=4)]

    def run(size: int, step: int) -> np.ndarray:
        job = Job(model, make_batches(pairs[::step], size), LOGIT_DIFF, level)
        return attribute(job, method, **few_steps(method)).values

    expected = run(8, 1)
    np.testing.assert_allclose(run(2, -1), expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize(("method", "level"), BY_LEVEL)
def test_a_failing_metric_leaves_nothing_behind(method: str, level: Level) -> None:
    model = take_apart(random_hf("olmo2"), name="fresh")
    blocks, calls = model.hf.model.layers, []  # type: ignore[union-attr]

    def function(logits: torch.Tensor, *_: Any) -> torch.Tensor:
        calls.append(logits.shape)
        raise ZeroDivisionError

    failing = replace(LOGIT_DIFF, function=function)
    job = Job(model, make_batches(token_pairs(), 4), failing, level)
    try:
        attribute(job, method, **few_steps(method))
    except ZeroDivisionError:
        assert calls
    else:
        assert not calls, "the failure was passed over"
    assert model.hf.model.layers is blocks  # type: ignore[union-attr]
    for module in model.hf.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    for layer in model.layers:
        for module in layer.core.module.modules():
            assert not module._forward_hooks
    assert all(p.grad is None and not p.requires_grad for p in model.hf.parameters())


@pytest.mark.parametrize("ablation", ["patching", "zero", "mean", "mean-positional"])
@pytest.mark.parametrize("method", ["EAP-IG-activations", "RelP", "AtP-star"])
def test_in_a_node_the_scores_of_its_edges_add_up(method: str, ablation: str) -> None:
    options: dict[str, Any] = {"grad_drop": False} if method == "AtP-star" else {}
    batches = make_batches(token_pairs(), 4)
    for architecture in ("gpt2", "gpt_neox", "gemma2"):
        model = tiny_model(architecture)
        how = make_ablation(ablation, model, batches)
        found = {}
        for level in set(METHODS.get(method).levels) & set(GRAPH_LEVELS):
            job = Job(model, batches, LOGIT_DIFF, level, how)
            found[level] = attribute(job, method, **options).values
        largest = np.abs(found["node"]).max()
        for level in set(found) - {"node"}:
            total = found[level].sum(1)
            np.testing.assert_allclose(total, found["node"], atol=1e-5 * largest, rtol=0)


def test_the_corrupted_end_of_clean_corrupted_is_the_corrupted_run() -> None:
    """Swapping clean and corrupted prompts changes the sign of every score and nothing else."""
    batches = make_batches(token_pairs(), 4)
    swapped = [replace(b, clean=b.corrupted, corrupted=b.clean) for b in batches]
    for architecture in ("gpt2", "olmo2"):
        model = tiny_model(architecture)
        one, other = (
            attribute(Job(model, x, LOGIT_DIFF, "edge", Patching()), "clean-corrupted").values
            for x in (batches, swapped)
        )
        np.testing.assert_allclose(one, -other, atol=1e-6 * np.abs(one).max(), rtol=0)


def test_one_step_of_activations_at_the_clean_end_is_eap() -> None:
    """Of `own` alone: with `all`, gradients do not pass the site they are taken at."""
    model, batches = tiny_model("gemma2"), make_batches(token_pairs(), 4)
    job = Job(model, batches, LOGIT_DIFF, "edge", Zero())
    eap = attribute(job, "EAP").values
    own, every = (
        attribute(job, "EAP-IG-activations", ig_steps=1, sites=sites).values
        for sites in ("own", "all")
    )
    np.testing.assert_array_equal(own, eap)
    assert np.abs(every - eap).max() > 1e-2 * np.abs(eap).max()


@pytest.mark.parametrize(("method", "level"), RUN_BY_LEVEL)
def test_narrow_dtypes_and_answers_of_several_tokens(method: str, level: Level) -> None:
    """In bfloat16 every method runs, and gives about the scores of float32."""
    pairs = [replace(pair, answers=((1, 2, 3), (4, 9))) for pair in token_pairs(3)]
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        model = tiny_model("gpt2", dtype=dtype)
        job = Job(model, make_batches(pairs, 3), METRICS.get("prob_diff"), level)
        found.append(attribute(job, method, **few_steps(method)).values)
    assert np.corrcoef(*(values.ravel() for values in found))[0, 1] > 0.9
