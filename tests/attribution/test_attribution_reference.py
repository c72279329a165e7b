"""Scores against the brute-force reference: every architecture, level, ablation, head grouping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import gate_gradient, gated_metric, logit_diff
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
from helpers.reference_scores import LOGIT_DIFF, RULES, assert_same, expected, scores
from helpers.tiny_models import ARCHITECTURES, tiny_model, token_batches, token_pairs

from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.scores import GRAPH_LEVELS, LEVELS
from harness_circuits.errors import OptionError
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches
from harness_circuits.passes import contract

IG_ABLATIONS = [name for name in BY_HAND if name != "zero"]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    with exact_case(request.param) as found:
        yield found


def test_the_reference_without_replacement_is_the_model(case: Case) -> None:
    """Of the reference itself: gates 0 give HuggingFace's logits, gates 1 the other prompt's."""
    reference = case.reference
    with torch.no_grad():
        full, other = (
            case.model.hf(ids, use_cache=False).logits[:, -1]
            for ids in (clean(PAIRS), corrupted(PAIRS))
        )
    replacement = reference.outputs(corrupted(PAIRS))
    for level in GRAPH_LEVELS:
        closed, opened = reference.gates(level), reference.gates(level) + 1
        for gates, wanted in ((closed, full), (opened, other)):
            logits, _ = reference.run(clean(PAIRS), gates, replacement)
            torch.testing.assert_close(logits, wanted, rtol=0, atol=1e-9)
    assert (full - other).abs().max() > 1e-2
    assert (reference.exists().numpy() == case.model.graph.edge_mask).all()


@pytest.mark.parametrize("ablation", BY_HAND)
@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_eap_is_the_gradient_of_the_gates(case: Case, level: str, ablation: str) -> None:
    assert_same(scores(case, "EAP", level, ablation), expected(case, level, ablation))


@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_eap_is_a_finite_difference(case: Case, level: str) -> None:
    """Central differences of the gated metric, for some units of every level."""
    got = torch.from_numpy(scores(case, "EAP", level, "patching"))
    real = torch.from_numpy(case.model.graph.edge_mask) if level == "edge" else torch.ones_like(got)
    units = real.bool().flatten().nonzero()[:, 0]
    chosen = units[torch.randperm(len(units), generator=torch.Generator().manual_seed(3))[:8]]
    step = 1e-4
    moved = torch.zeros(2, len(chosen), got.numel(), dtype=torch.float64)
    moved[0, range(len(chosen)), chosen], moved[1, range(len(chosen)), chosen] = step, -step

    def metric(gates: torch.Tensor) -> torch.Tensor:
        gates = gates.view(got.shape)
        how = {"replacement": case.replacement("patching")}
        return gated_metric(
            case.reference, clean(PAIRS), corrupted(PAIRS), gates, answers(PAIRS), **how
        ).mean()

    with torch.no_grad():
        up, down = torch.func.vmap(metric)(moved.flatten(0, 1)).view(2, -1)
    slope = (down - up) / (2 * step)
    largest = got.abs().max()
    assert ((slope - got.flatten()[chosen]).abs() < 1e-5 * largest).all()
    assert (slope.abs() > 1e-3 * largest).any()


@pytest.mark.parametrize("ablation", IG_ABLATIONS)
@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_eap_ig_is_the_mean_gradient_between_the_embeddings(
    case: Case, level: str, ablation: str
) -> None:
    got = scores(case, "EAP-IG-inputs", level, ablation, ig_steps=3, ig_rule="left")
    points = [weight * expected(case, level, ablation, alpha) for alpha, weight in RULES["left"]]
    assert_same(got, np.sum(points, axis=0))


@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_clean_corrupted_is_the_mean_gradient_at_both_ends(case: Case, level: str) -> None:
    got = scores(case, "clean-corrupted", level, "patching")
    ends = [expected(case, level, "patching", alpha) for alpha in (0.0, 1.0)]
    assert_same(got, np.mean(ends, axis=0))
    assert np.abs(ends[0] - ends[1]).max() > 1e-2 * np.abs(got).max()


# Where queries are clipped or activations have a kink, points of a quadrature add up slowly.
SMOOTH = [name for name in CASES[: len(ARCHITECTURES)] if name.split("-")[0] not in ("olmo", "opt")]


@pytest.mark.parametrize(
    ("name", "ablation"),
    [
        *((name, "patching") for name in SMOOTH),
        *((name, IG_ABLATIONS[1 + at % 2]) for at, name in enumerate(SMOOTH)),
    ],
)
def test_edges_of_the_input_add_up_to_the_effect_of_its_embeddings(
    name: str, ablation: str
) -> None:
    """Completeness: every path starts with an edge of the input, so these edges explain it all.

    Their scores add up to the input node's (see the sums below). Shared keys change nothing here.
    """
    with exact_case(name) as case:
        steps = 300 if name.startswith("gpt_neo-") else 96  # its attention is not scaled down
        options = {"ig_steps": steps, "ig_rule": "gausslegendre"}
        edges = scores(case, "EAP-IG-inputs", "node", ablation, **options)[0]
        metric, embedded = logit_diff(answers(PAIRS)), case.replacement(ablation)[0]
        with torch.no_grad():
            before = metric(case.reference.run(clean(PAIRS))[0]).mean()
            after = metric(case.reference.run(clean(PAIRS), embedded=embedded)[0]).mean()
    effect = float(before - after)
    assert abs(effect) > 1e-2
    assert edges == pytest.approx(effect, abs=1e-5)


@pytest.mark.parametrize(
    "method", ["EAP", "EAP-IG-inputs", "clean-corrupted", "EAP-IG-activations", "RelP"]
)
def test_a_nodes_score_is_the_sum_of_its_edges_and_of_its_neurons(case: Case, method: str) -> None:
    """By the chain rule, in post-norm models too: edges pass through the Jacobian of the norm."""
    options = {"ig_steps": 2} if "IG" in method else {}
    node = scores(case, method, "node", "patching", **options)
    assert_same(scores(case, method, "edge", "patching", **options).sum(1), node)
    assert_same(scores(case, method, "neuron", "patching", **options).sum(1), node)


@pytest.mark.parametrize("name", ["prob_diff", "normalised_logit", "kl", "js"])
def test_other_metrics_drive_attribution(name: str) -> None:
    """The metric's own formula on the reference's logits, half way between the embeddings."""
    metric = METRICS.get(name)
    with exact_case("qwen3-grouped") as case:
        full = case.reference.run(clean(PAIRS))[0][:, None]
        job = Job(case.model, [case.batch], metric)
        got = attribute(job, "EAP-IG-inputs", ig_steps=1, ig_rule="midpoint").values
        wanted = gate_gradient(
            "edge",
            case.reference,
            clean(PAIRS),
            corrupted(PAIRS),
            lambda logits: metric(logits[:, None], case.batch, full),
            alpha=0.5,
        )
        assert_same(got, wanted.numpy())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_batches_order_and_chunks_change_nothing(
    architecture: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(architecture)
    pairs = [*token_pairs(4, 6), *token_pairs(3, 5, seed=4)]

    def run(batches: list[Any]) -> np.ndarray:
        return attribute(Job(model, batches, LOGIT_DIFF, level), ig_steps=2).values  # type: ignore[arg-type]

    wanted = run(make_batches(pairs, 8))
    for other in (make_batches(pairs, 3), make_batches(pairs[::-1], 1)):
        assert_same(run(other), wanted, 1e-5)
    monkeypatch.setattr(contract, "CHUNK_BYTES", 1)
    assert_same(run(make_batches(pairs, 8)), wanted, 1e-5)
    long, short = (run(make_batches(part, 8)) for part in (pairs[:4], pairs[4:]))
    assert_same((4 * long + 3 * short) / 7, wanted, 1e-5)


def test_random_scores_depend_on_their_seed_only() -> None:
    model = tiny_model("gpt2")

    def run(seed: int, size: int = 4) -> np.ndarray:
        job = Job(model, token_batches(4, size=size), LOGIT_DIFF)
        return attribute(job, "random", seed=seed).values

    torch.manual_seed(5)
    first = run(1)
    torch.manual_seed(6)
    state = torch.get_rng_state()
    np.testing.assert_allclose(run(1, size=2), first, rtol=1e-15)
    assert (torch.get_rng_state() == state).all()
    assert not np.isclose(run(2), first)[model.graph.edge_mask].any()
    assert (first[~model.graph.edge_mask] == 0).all()


def test_integrated_gradients_are_not_defined_for_zero_ablation() -> None:
    with exact_case("gpt2-ungrouped") as case, pytest.raises(OptionError) as error:
        scores(case, "EAP-IG-inputs", "edge", "zero")
    assert (
        "EAP-IG-inputs is not defined for ablation=zero; it is for mean, mean-positional, "
        in str(error.value)
    )


def test_a_metric_without_gradient_is_refused() -> None:
    job = Job(tiny_model("gpt2"), token_batches(2), METRICS.get("accuracy"))
    with pytest.raises(OptionError, match="needs a metric with gradients"):
        attribute(job, "EAP")


@pytest.mark.parametrize("method", ["EAP", "RelP", "AtP-star"])
@pytest.mark.parametrize("name", ["kl", "js"])
def test_a_divergence_has_no_gradient_where_it_is_zero(name: str, method: str) -> None:
    """On the clean run itself; what autograd returns there is rounding noise."""
    level = "node" if method == "AtP-star" else "edge"
    job = Job(tiny_model("llama"), token_batches(2), METRICS.get(name), level)  # type: ignore[arg-type]
    with pytest.raises(OptionError) as error:
        attribute(job, method)
    assert f"method={method} takes its gradients on the clean run, where the metric" in str(
        error.value
    )
    assert "Use method=EAP-IG-inputs" in str(error.value)
    assert attribute(job, "EAP-IG-inputs").values.any()
