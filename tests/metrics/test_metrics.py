"""Every metric against a plain formula, one example and one answer at a time."""

from __future__ import annotations

import math
import pkgutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness_circuits import metrics
from harness_circuits.errors import OptionError, UnknownNameError
from harness_circuits.metrics.metrics import METRICS, answer_log_probs, first_token_logits
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.tokenise import TokenPair

VOCABULARY = 13
Case = tuple[list[TokenPair], Batch, Tensor, Tensor]


def softmax(row: np.ndarray) -> np.ndarray:
    exponentials = np.exp(row - row.max())
    result: np.ndarray = exponentials / exponentials.sum()
    return result


def reads_of(batch: Batch, row: int, choice: int) -> list[int]:
    n = int(batch.answers.real[row, choice].sum())
    return [int(read) for read in batch.answers.reads[row, choice, :n]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A batch of pairs with several right and wrong answers of one to three tokens, and logits."""
    lengths = draw(st.lists(st.integers(1, 3), min_size=2, max_size=5))
    n_correct = draw(st.integers(1, len(lengths) - 1))
    seed = draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    pairs = []
    for index in range(draw(st.integers(1, 3))):
        firsts = generator.permutation(VOCABULARY)
        n_wrong = int(generator.integers(1, len(lengths) - n_correct + 1))
        answers = tuple(
            (int(firsts[at]), *generator.integers(0, VOCABULARY, length - 1).tolist())
            for at, length in enumerate(lengths)
        )
        correct = tuple(range(n_correct))
        incorrect = tuple(range(n_correct, n_correct + n_wrong))
        pairs.append(TokenPair((1, 2, index), (1, 3, index), answers, correct, incorrect, index))
    (batch,) = make_batches(pairs, len(pairs))
    shape = (len(pairs), len(batch.clean.reads), VOCABULARY)
    logits, clean = (torch.from_numpy(generator.standard_normal(shape) * 3) for _ in range(2))
    return pairs, batch, logits, clean


def check(name: str, case: Case, formula: Any) -> None:
    """Compare a metric with a formula of (pair, row, logits at the prompt's end of both runs)."""
    pairs, batch, logits, clean = case
    found = METRICS.get(name)(logits, batch, clean)
    assert found.shape == (len(pairs),)
    first, clean_first = logits[:, 0].numpy(), clean[:, 0].numpy()
    expected = [formula(pair, row, first[row], clean_first[row]) for row, pair in enumerate(pairs)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


def log_probability(case: Case, row: int, choice: int) -> float:
    """Sum of log-probabilities of a whole answer, token by token."""
    pairs, batch, logits, _ = case
    steps = zip(reads_of(batch, row, choice), pairs[row].answers[choice], strict=True)
    return sum(math.log(softmax(logits[row, read].numpy())[token]) for read, token in steps)


@given(cases())
def test_logit_diff(case: Case) -> None:
    def formula(pair: TokenPair, row: int, logits: np.ndarray, clean: np.ndarray) -> float:
        right = [logits[pair.answers[choice][0]] for choice in pair.correct]
        wrong = [logits[pair.answers[choice][0]] for choice in pair.incorrect]
        return float(np.mean(right) - np.mean(wrong))

    check("logit_diff", case, formula)


@given(cases())
def test_prob_diff_sums_whole_answers(case: Case) -> None:
    def formula(pair: TokenPair, row: int, logits: np.ndarray, clean: np.ndarray) -> float:
        right = [math.exp(log_probability(case, row, choice)) for choice in pair.correct]
        wrong = [math.exp(log_probability(case, row, choice)) for choice in pair.incorrect]
        return sum(right) - sum(wrong)

    check("prob_diff", case, formula)


@given(cases())
def test_normalised_logit(case: Case) -> None:
    def formula(pair: TokenPair, row: int, logits: np.ndarray, clean: np.ndarray) -> float:
        right = np.mean([logits[pair.answers[choice][0]] for choice in pair.correct])
        return float((right - logits.mean()) / logits.std(ddof=1))

    check("normalised_logit", case, formula)


@given(cases())
def test_mib_normalized_logit(case: Case) -> None:
    def formula(pair: TokenPair, row: int, logits: np.ndarray, clean: np.ndarray) -> float:
        right = np.mean([logits[pair.answers[choice][0]] for choice in pair.correct])
        return float(right / logits.max())

    check("mib_normalized_logit", case, formula)


@given(cases())
def test_kl(case: Case) -> None:
    def formula(pair: TokenPair, row: int, logits: np.ndarray, clean: np.ndarray) -> float:
        p, q = softmax(clean), softmax(logits)
        return -float((p * np.log(p / q)).sum())

    check("kl", case, formula)


@given(cases())
def test_js(case: Case) -> None:
    def formula(pair: TokenPair, row: int, logits: np.ndarray, clean: np.ndarray) -> float:
        p, q = softmax(clean), softmax(logits)
        m = (p + q) / 2
        return -float((p * np.log(p / m)).sum() + (q * np.log(q / m)).sum()) / 2

    check("js", case, formula)


@given(cases())
def test_accuracy_compares_whole_answers(case: Case) -> None:
    def formula(pair: TokenPair, row: int, logits: np.ndarray, clean: np.ndarray) -> float:
        scores = [log_probability(case, row, choice) for choice in range(len(pair.answers))]
        return float(int(np.argmax(scores)) in pair.correct)

    check("accuracy", case, formula)


@given(cases(), st.sampled_from([5, 10]))
def test_top_k_accuracy(case: Case, k: int) -> None:
    def formula(pair: TokenPair, row: int, logits: np.ndarray, clean: np.ndarray) -> float:
        best = set(np.argsort(-logits)[:k].tolist())
        return float(any(pair.answers[choice][0] in best for choice in pair.correct))

    check(f"top{k}_accuracy", case, formula)


@given(cases())
def test_answer_scores(case: Case) -> None:
    pairs, batch, logits, _ = case
    firsts, whole = (
        first_token_logits(logits, batch.answers),
        answer_log_probs(logits, batch.answers),
    )
    for row, pair in enumerate(pairs):
        for choice, answer in enumerate(pair.answers):
            assert float(firsts[row, choice]) == float(logits[row, 0, answer[0]])
            assert float(whole[row, choice]) == pytest.approx(log_probability(case, row, choice))


def test_rows_with_fewer_choices_ignore_the_missing_ones() -> None:
    """Token 0 fills the missing choices: here it would be by far the likeliest answer."""
    few = TokenPair((1, 2), (1, 3), ((4,), (5,)), (0,), (1,), 0)
    many = TokenPair((1, 2), (2, 2), ((4,), (5,), (6,), (7,)), (0, 2), (1, 3), 1)
    (both,) = make_batches([few, many], 2)
    (alone,) = make_batches([few], 1)
    logits = torch.randn(2, 1, VOCABULARY, generator=torch.Generator().manual_seed(0)).double()
    logits[:, :, 0] = 50
    clean = logits.flip(0)
    assert answer_log_probs(logits, both.answers)[0, 2:].tolist() == [-math.inf, -math.inf]
    for name in METRICS:
        metric = METRICS.get(name)
        together = metric(logits, both, clean)
        assert torch.isfinite(together).all()
        torch.testing.assert_close(together[:1], metric(logits[:1], alone, clean[:1]))


def gradient_of(name: str, case: Case) -> Tensor:
    _, batch, logits, clean = case
    leaf = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(METRICS.get(name)(leaf, batch, clean).sum(), leaf)
    return gradient


@given(cases())
def test_gradients_are_finite(case: Case) -> None:
    for name in METRICS:
        if METRICS.get(name).differentiable:
            assert torch.isfinite(gradient_of(name, case)).all(), name


@given(cases())
def test_differences_and_divergences_ignore_a_shift_of_all_logits(case: Case) -> None:
    """Adding a constant to all logits changes none of them, so that gradients sum to zero."""
    for name in ("logit_diff", "prob_diff", "normalised_logit", "kl", "js"):
        gradient = gradient_of(name, case)
        assert gradient.any(), name
        torch.testing.assert_close(
            gradient.sum(-1), torch.zeros(gradient.shape[:2]).double(), atol=1e-9, rtol=0
        )


@given(cases())
def test_mib_s_logit_ignores_a_scale_of_all_logits(case: Case) -> None:
    """It is a ratio of two logits: its gradient is at right angles to the logits."""
    _, _, logits, _ = case
    product = (gradient_of("mib_normalized_logit", case) * logits).sum((1, 2))
    torch.testing.assert_close(product, torch.zeros(len(logits)).double(), atol=1e-9, rtol=0)


@given(cases())
def test_divergences_are_best_on_the_clean_run(case: Case) -> None:
    _, batch, logits, clean = case
    for name in ("kl", "js"):
        metric = METRICS.get(name)
        assert (metric(logits, batch, clean) <= 1e-12).all()
        torch.testing.assert_close(
            metric(clean, batch, clean), torch.zeros(len(batch)).double(), atol=1e-12, rtol=0
        )
    assert (METRICS.get("js")(logits, batch, clean) >= -math.log(2)).all()


@given(cases())
def test_swapping_right_and_wrong_changes_the_sign(case: Case) -> None:
    pairs, batch, logits, _ = case
    swapped = [replace(pair, correct=pair.incorrect, incorrect=pair.correct) for pair in pairs]
    (other,) = make_batches(swapped, len(pairs))
    for name in ("logit_diff", "prob_diff"):
        metric = METRICS.get(name)
        torch.testing.assert_close(metric(logits, other), -metric(logits, batch))


def test_narrow_logits_are_widened() -> None:
    (batch,) = make_batches([TokenPair((1, 2), (1, 3), ((4,), (5,)), (0,), (1,), 0)], 1)
    for dtype, wide in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        logits = torch.randn(1, 1, VOCABULARY).to(dtype)
        for name in METRICS:
            assert METRICS.get(name)(logits, batch, logits).dtype == wide


def test_the_clean_run_is_asked_for() -> None:
    (batch,) = make_batches([TokenPair((1, 2), (1, 3), ((4,), (5,)), (0,), (1,), 0)], 1)
    for name in METRICS:
        metric = METRICS.get(name)
        if metric.needs_clean:
            with pytest.raises(OptionError, match="compares with the clean run, whose logits are"):
                metric(torch.zeros(1, 1, VOCABULARY), batch)
        else:
            assert metric(torch.zeros(1, 1, VOCABULARY), batch).shape == (1,)
    assert METRICS.get("kl").needs_clean and METRICS.get("js").needs_clean


def test_every_metric_has_a_file_that_registers_it() -> None:
    """Importing the package finds the file: there is no list to add it to."""
    files = {info.name for info in pkgutil.iter_modules(metrics.__path__)} - {"metrics"}
    homes = {METRICS.get(name).function.__module__.rpartition(".")[2] for name in METRICS}
    assert homes == files


def test_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown metric 'logitdiff'. Did you mean 'logit_"):
        METRICS.get("logitdiff")
