"""What clean and corrupted prompts share is run once, and no number changes by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from helpers.defined import DEFINED, RUNS_THE_MODEL, UNIT_BY_UNIT, few_steps
from helpers.double_models import double_model, double_softmax
from helpers.reference import exact_float64
from helpers.tiny_models import ARCHITECTURES, GROUPED_ARCHITECTURES, VOCABULARY, tiny_model

from harness_circuits.ablation import ABLATIONS, make_ablation
from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import METHODS, Job, attribute
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.tokenise import TokenPair
from harness_circuits.passes.shared_prefix import behind_shared_prefix
from harness_circuits.selection import select

LENGTH, STARTS = 9, (4, 4, 5, 8, 7, 6)
LENGTHS = (9, 10, 9, 13, 11, 10)  # prompts of different lengths lie in one batch
KINDS = [
    *((architecture, "ungrouped") for architecture in ARCHITECTURES),
    *((architecture, "grouped") for architecture in GROUPED_ARCHITECTURES),
]
# Two norms, two kinds of MLP, a window, shared keys: the rest has one test each, being dear.
FULLY = [("gpt2", "ungrouped"), ("gemma2", "grouped"), ("gpt_neox", "ungrouped")]
# What is learned depends on how pairs lie in batches, which its steps are drawn from: the masked run that
# it rests on is compared in test_masked_run.py.
PATCHED = [
    (name, level)
    for name, level, ablation in DEFINED
    if ablation == "patching"
    and name in RUNS_THE_MODEL
    and name != "ensemble"
    and not METHODS.get(name).learned
]


def pairs(*, trees: bool, lengths: Sequence[int] = (LENGTH,) * len(STARTS)) -> list[TokenPair]:
    """Pairs that differ from given tokens on; with trees, answers have several tokens."""
    generator = np.random.default_rng(3)
    found = []
    for index, (start, length) in enumerate(zip(STARTS, lengths, strict=True)):
        clean = generator.integers(0, VOCABULARY, length)
        corrupted = clean.copy()
        corrupted[start] = (clean[start] + 1 + index) % VOCABULARY
        right, wrong = (int(token) for token in generator.choice(VOCABULARY, 2, replace=False))
        answers = ((right, 3, 4), (wrong, 5)) if trees else ((right,), (wrong,))
        prompts = (tuple(map(int, clean)), tuple(map(int, corrupted)))
        found.append(TokenPair(*prompts, answers, (0,), (1,), index))
    return found


@cache
def model_of(architecture: str, kv_heads: str) -> CircuitModel:
    return double_model(architecture, kv_heads=kv_heads)


@pytest.fixture(autouse=True)
def in_double() -> Iterator[None]:
    with double_softmax(), exact_float64():  # OLMo's norms, GPT-J's scores
        yield


def both_ways(*, trees: bool) -> tuple[list[Batch], list[Batch]]:
    """The same pairs in batches that share a prefix, runs side by side, and in others of neither."""
    found = pairs(trees=trees, lengths=LENGTHS)
    shared = make_batches(found, 4, room=14)
    whole = [replace(b, room=0) for b in make_batches(found, 6, share_prefix=False)]
    assert all(batch.shared >= min(STARTS) for batch in shared)
    assert sorted(map(len, shared)) in ([2, 4], [3, 3])
    assert all(batch.pads is not None for batch in shared)
    assert {batch.n_prompt: len(batch) for batch in whole} == {n: LENGTHS.count(n) for n in LENGTHS}
    assert [(batch.shared, batch.at_once) for batch in whole] == [(0, 1)] * len(whole)
    return shared, whole


@pytest.mark.parametrize(
    ("architecture", "kv_heads", "trees"),
    [*((*kind, True) for kind in KINDS), *((*kind, False) for kind in FULLY)],
)
def test_scores_are_those_of_whole_prompts(architecture: str, kv_heads: str, trees: bool) -> None:
    model, metric = model_of(architecture, kv_heads), METRICS.get("prob_diff")
    metric = metric if trees else METRICS.get("logit_diff")
    for method, level in PATCHED:
        # Unit by unit is slow, and the same at every level: see also test_exact.
        if method in UNIT_BY_UNIT and level != "node":
            continue
        ours, expected = (
            attribute(Job(model, batches, metric, level), method, **few_steps(method)).values
            for batches in both_ways(trees=trees)
        )
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            ours, expected, rtol=0, atol=1e-12 * max(1, scale), err_msg=f"{method} {level}"
        )


@pytest.mark.parametrize(
    ("architecture", "kv_heads", "level"),
    [
        *((*kind, "edge") for kind in KINDS),
        *((*kind, level) for kind in FULLY for level in ("node", "neuron")),
    ],
)
def test_curves_are_those_of_whole_prompts(architecture: str, kv_heads: str, level: Any) -> None:
    model, metric = model_of(architecture, kv_heads), METRICS.get("prob_diff")
    scores = attribute(Job(model, both_ways(trees=True)[1], metric, level), "EAP")
    counts = [scores.space.n_at(size) for size in (0.05, 0.3, 0.8, 1.0)]
    circuits = select(scores, counts, "top-n", ranking=Ranking.ABSOLUTE)
    ours, expected = (
        evaluate_circuits(model, batches, circuits, metric, Patching())
        for batches in both_ways(trees=True)
    )
    for name in ("full", "empty", "circuits", "accuracy", "full_accuracy"):
        np.testing.assert_allclose(getattr(ours, name), getattr(expected, name), atol=1e-12)
    for a, b in zip(ours.log_probs, expected.log_probs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert ours.indices == expected.indices and ours.greedy == expected.greedy


def test_runs_of_a_batch_go_side_by_side_where_there_is_room() -> None:
    (batch,) = make_batches(pairs(trees=False), 6, room=12)
    model, metric = tiny_model("gpt2"), METRICS.get("logit_diff")
    assert behind_shared_prefix(model, batch).at_once == 12 * LENGTH // (6 * (LENGTH - 4)) == 3
    model.counts = Counter()
    attribute(Job(model, [batch], metric), "EAP-IG-inputs", ig_steps=5)
    assert model.counts["forward"] == 2 + 2 and model.counts["backward"] == 2
    scores = attribute(Job(model, [batch], metric), "EAP")
    counts = [scores.space.n_at(size) for size in (0.05, 0.3, 0.8)]
    circuits = select(scores, counts, "top-n", ranking=Ranking.ABSOLUTE)
    model.counts.clear()
    evaluate_circuits(model, [batch], circuits, metric, Patching())
    assert model.counts["forward"] == 2 + 2  # clean, corrupted, three circuits, the empty one


def counted(batches: list[Batch], run: Any) -> Counter[str]:
    model = tiny_model("gpt2")
    model.counts = Counter()
    run(model, batches)
    return model.counts


def test_discovery_runs_all_tokens_once_and_then_those_behind_the_prefix() -> None:
    batches = make_batches(pairs(trees=False), 6)
    (batch,) = batches
    n, behind = len(batch), LENGTH - batch.shared
    metric = METRICS.get("logit_diff")

    def run(model: CircuitModel, batches: list[Batch]) -> None:
        attribute(Job(model, batches, metric), "EAP-IG-inputs", ig_steps=5)

    # The prefix once; then clean, corrupted and five points behind it.
    assert batch.shared == 4
    assert counted(batches, run)["tokens"] == n * (batch.shared + (2 + 5) * behind)
    assert counted(batches, run)["prefix"] == 1


@pytest.mark.parametrize("n_circuits", [1, 4])
def test_evaluation_runs_all_tokens_once_and_then_those_behind_the_prefix(n_circuits: int) -> None:
    batches = make_batches(pairs(trees=False), 6)
    (batch,) = batches
    metric = METRICS.get("logit_diff")

    def run(model: CircuitModel, batches: list[Batch]) -> None:
        job = Job(model, make_batches(pairs(trees=False), 6, share_prefix=False), metric)
        scores = attribute(job, "EAP")
        counts = [scores.space.n_at(0.1 * (at + 1)) for at in range(n_circuits)]
        circuits = select(scores, counts, "top-n", ranking=Ranking.ABSOLUTE)
        model.counts.clear()
        evaluate_circuits(model, batches, circuits, metric, Patching())

    behind = LENGTH - batch.shared
    runs = 2 + n_circuits + 1  # clean, corrupted, the circuits, the empty one
    assert counted(batches, run)["tokens"] == len(batch) * (batch.shared + runs * behind)


@pytest.mark.parametrize("name", ["zero", "mean", "mean-positional"])
def test_other_ablations_run_everything(name: str) -> None:
    batches = make_batches(pairs(trees=False), 6)
    metric = METRICS.get("logit_diff")

    def run(model: CircuitModel, batches: list[Batch]) -> None:
        ablation = make_ablation(name, model, batches)
        model.counts.clear()
        attribute(Job(model, batches, metric, "edge", ablation), "EAP")

    found = counted(batches, run)
    assert found["prefix"] == 0 and found["tokens"] == found["forward"] * len(STARTS) * LENGTH
    assert not ABLATIONS.get(name).follows_corrupted


def test_what_reads_the_clean_run_alone_gets_whole_prompts() -> None:
    batches = make_batches(pairs(trees=False), 6)

    def run(model: CircuitModel, batches: list[Batch]) -> None:
        attribute(Job(model, batches, METRICS.get("logit_diff")), "information-flow-routes")

    found = counted(batches, run)
    assert found["prefix"] == 0 and found["tokens"] == len(STARTS) * LENGTH


def test_a_prompt_that_differs_from_its_first_tokens_on_is_run_whole() -> None:
    clean = tuple(range(20))
    pair = TokenPair(clean, (5, *clean[1:]), ((1,), (2,)), (0,), (1,))
    (batch,) = make_batches([pair], 1)
    assert batch.shared == 0
    assert behind_shared_prefix(tiny_model("gpt2"), batch) is batch
