"""Values per pair of circuits: in the order of pairs, whatever the batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.circuit_samples import assert_untouched, failing, random_circuits
from helpers.tiny_models import tiny_model, token_batches, token_pairs

from harness_circuits.ablation import ABLATIONS, make_ablation
from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import LEVELS, ScoreSpace
from harness_circuits.errors import NumericalError
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.evaluation.result import ExampleValues
from harness_circuits.metrics.metrics import METRICS, Metric
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import make_batches

LOGIT_DIFF = METRICS.get("logit_diff")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("architecture", ["gpt2", "gemma2"])
def test_batches_order_and_lengths_change_nothing(
    architecture: str, ablation: str, level: str
) -> None:
    if level == "mlp-neuron" and not ABLATIONS.get(ablation).hidden:
        return  # refused
    model = tiny_model(architecture)
    pairs = [*token_pairs(3, 6), *token_pairs(2, 5, seed=4)]
    pairs = [replace(pair, index=index) for index, pair in enumerate(pairs)]
    circuits = random_circuits(model, level, seed=2)
    how = make_ablation(ablation, model, make_batches(pairs, 2))  # type: ignore[arg-type]

    def run(members: list[Any], size: int) -> ExampleValues:
        return evaluate_circuits(model, make_batches(members, size), circuits, LOGIT_DIFF, how)

    wanted = run(pairs, 8)
    assert wanted.indices == (0, 1, 2, 3, 4)
    assert wanted.circuits.std() > 1e-2
    for other in (run(pairs, 1), run(pairs[::-1], 2), run([*pairs[1::2], *pairs[::2]], 3)):
        assert other.indices == wanted.indices
        for field in ("full", "empty", "circuits", "log_probs"):
            got, expected = getattr(other, field), getattr(wanted, field)
            np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5, err_msg=field)
        for field in ("accuracy", "full_accuracy", "greedy"):
            assert np.array_equal(getattr(other, field), getattr(wanted, field)), field


def test_pairs_of_another_length_do_not_touch_a_pair() -> None:
    """A pair evaluated alone gives the values it has in company."""
    model = tiny_model("mistral")
    pairs = [*token_pairs(2, 6), *token_pairs(2, 9, seed=4)]
    circuits = random_circuits(model, "edge")
    together = evaluate_circuits(model, make_batches(pairs, 4), circuits, LOGIT_DIFF, Patching())
    values = set(np.round(together.full, 6))
    for pair in pairs:
        alone = evaluate_circuits(model, make_batches([pair], 1), circuits, LOGIT_DIFF, Patching())
        assert set(np.round(alone.full, 6)) <= values


def test_equal_circuits_get_equal_values_and_the_order_is_kept() -> None:
    model = tiny_model("llama")
    a, b, *_ = random_circuits(model, "edge", seed=5)
    twin = Circuit(a.space, a.kept.copy())
    full, empty = Circuit.full(a.space), Circuit.empty(a.space)
    how = {"metric": LOGIT_DIFF, "ablation": Patching()}
    result = evaluate_circuits(model, token_batches(), [b, a, full, twin, empty], **how)  # type: ignore[arg-type]
    assert (result.circuits[1] == result.circuits[3]).all()
    assert (result.circuits[2] == result.full).all()
    assert (result.circuits[4] == result.empty).all()
    alone = evaluate_circuits(model, token_batches(), [a], **how).circuits[0]  # type: ignore[arg-type]
    assert (alone == result.circuits[1]).all()
    assert not np.allclose(result.circuits[0], result.circuits[1])


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gpt_neox", "gemma2", "mistral"])
def test_answers_of_several_tokens_have_the_probability_of_their_own_continuation(
    architecture: str,
) -> None:
    """The answer tree gives what HuggingFace gives for prompt and answer, also to circuits."""
    model = tiny_model(architecture)
    choices = ((7, 8, 9), (7, 8, 4), (5,), (7, 2))
    pairs = [
        replace(pair, answers=choices, correct=(0,), incorrect=(1, 2, 3)) for pair in token_pairs(3)
    ]
    space = ScoreSpace(model.graph)
    metric = METRICS.get("prob_diff")
    got = evaluate_circuits(
        model,
        make_batches(pairs, 3),
        [Circuit.full(space), Circuit.empty(space)],
        metric,
        Patching(),
    )
    for side, values in (("clean", got.log_probs), ("corrupted", None)):
        wanted = [
            [continuation(model, getattr(pair, side), answer) for answer in choices]
            for pair in pairs
        ]
        if values is not None:
            np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-9)
        probabilities = np.exp(wanted)
        difference = probabilities[:, 0] - probabilities[:, 1:].sum(1)
        row = got.circuits[0 if side == "clean" else 1]
        np.testing.assert_allclose(row, difference, rtol=0, atol=1e-9)


def continuation(model: CircuitModel, prompt: tuple[int, ...], answer: tuple[int, ...]) -> float:
    """Log-probability of an answer after a prompt, from HuggingFace's own forward."""
    with torch.no_grad():
        logits = model.hf(torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0]
    steps = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return float(steps.gather(1, torch.tensor(answer)[:, None]).sum())


@pytest.mark.parametrize("method", ["EAP", "EAP-IG-inputs"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_failing_metric_leaves_no_trace(method: str, level: str) -> None:
    model, batches = tiny_model("llama"), token_batches()
    metric = Metric(function=failing, description="fails")
    blocks = model.hf.get_submodule("model.layers")
    members = list(blocks)
    before = model.forward(batches[0].clean)
    with pytest.raises(RuntimeError, match="the metric fails"):
        attribute(Job(model, batches, metric, level), method)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="the metric fails"):
        circuits = random_circuits(model, level)
        evaluate_circuits(model, batches, circuits, metric, Patching())
    assert_untouched(model, blocks, members)
    assert torch.is_grad_enabled()
    assert torch.equal(model.forward(batches[0].clean), before)


def test_logits_that_are_not_finite_are_refused() -> None:
    model = CircuitModel(tiny_hf_with_infinite_head(), name="broken")
    space = ScoreSpace(model.graph)
    with pytest.raises(NumericalError) as error:
        evaluate_circuits(model, token_batches(), [Circuit.full(space)], LOGIT_DIFF, Patching())
    assert "The logits of broken are not finite on pair 0 or one near it" in str(error.value)


def tiny_hf_with_infinite_head() -> Any:
    from helpers.tiny_models import random_hf

    hf: Any = random_hf("llama")
    with torch.no_grad():
        hf.lm_head.weight[3] = torch.inf
    return hf
