"""P-values of the tests where their null hypothesis holds, at its boundary, and where it does not.

Counts have few values, so that p-values cannot be uniform: P(p <= a) <= a, with equality where a is a
value of p. The randomised p-value p' + U (p - p'), where p' is the next smaller value and U is uniform,
is exactly uniform at the boundary of the null hypothesis; Kolmogorov and Smirnov's test is of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from helpers import truths
from helpers.evidence_cases import additive, edge_space, truth_subject, world
from scipy.stats import binom, kstest

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.null_circuits import random_circuit
from harness_circuits.evidence.equivalence import EPSILON, equivalence, equivalence_p
from harness_circuits.evidence.independence import independence
from harness_circuits.evidence.minimality import unit_p_values
from harness_circuits.evidence.partial_necessity import partial_necessity
from harness_circuits.evidence.shi_tests import ALPHA, QUANTILE
from harness_circuits.evidence.subject import Point
from harness_circuits.evidence.sufficiency import against_random, sufficiency
from harness_circuits.statistics.binomial import at_least
from harness_circuits.statistics.differences import holm
from harness_circuits.statistics.hsic import PERMUTATIONS

EDGES = {"input->a0.h0<v>": 0.4, "a0.h0->m1": 0.3, "m1->logits": 0.2, "input->logits": 0.1}
RUNS, DRAWS = 2000, 60
LEVELS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.9)


def point() -> Point:
    return Point(Ranking.ABSOLUTE, 0.1, additive(EDGES)[0])


def p_equivalence(generator: np.random.Generator) -> float:
    """Each of 40 examples above with probability 1/2 + epsilon or 1/2 - epsilon."""
    circuit, _ = additive(EDGES)
    share = 0.5 + EPSILON * generator.choice((-1, 1))
    above = generator.random(40) < share
    subject = world(lambda _: np.where(above, 1.2, 0.8), [circuit], n=40)
    p: float = equivalence(subject)["circuits"][0]["p_value"]
    return p


def p_against_random(generator: np.random.Generator) -> float:
    """A circuit that is better than exactly 90% of the random ones there are."""
    p: float = against_random(point(), QUANTILE, generator.random(DRAWS))["p_value"]
    return p


def p_minimality(generator: np.random.Generator) -> float:
    """A unit that does more than exactly 90% of the additions there are."""
    (p,) = unit_p_values(np.array([QUANTILE]), generator.random(DRAWS))
    return p


def of_counts(p: Callable[[int], float], n: int) -> list[float]:
    return [p(count) for count in range(n + 1)]


CASES: dict[str, tuple[Callable[[np.random.Generator], float], Sequence[float]]] = {
    "equivalence": (p_equivalence, of_counts(lambda k: equivalence_p(k, 40), 40)),
    "sufficiency and partial necessity": (
        p_against_random,
        of_counts(lambda k: at_least(k, DRAWS, QUANTILE), DRAWS),
    ),
    "minimality": (
        p_minimality,
        of_counts(
            lambda k: unit_p_values(np.array([k - 0.5]), np.arange(DRAWS).astype(float))[0], DRAWS
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_randomised_p_values_are_uniform_at_the_boundary(name: str) -> None:
    draw, attainable = CASES[name]
    generator = np.random.default_rng(0)
    found = np.array([draw(generator) for _ in range(RUNS)])
    values = np.unique(np.round([0.0, *attainable], 12))
    at = abs(values[:, None] - found).argmin(0)
    assert abs(values[at] - found).max() < 1e-9, "a p-value that no count has"
    smaller = values[at - 1]
    spread = smaller + generator.random(RUNS) * (found - smaller)
    assert kstest(spread, "uniform").pvalue > 0.01
    assert kstest(found, "uniform").pvalue < 0.01, "without randomisation this test could not tell"
    for level in LEVELS:
        assert (found <= level).mean() <= level + 3.3 * (level * (1 - level) / RUNS) ** 0.5


@pytest.mark.parametrize("n", [1, 2, 7, 30, 61, 200])
def test_p_values_are_below_a_level_no_more_often_than_it_says(n: int) -> None:
    """Exactly, by the binomial distribution: at the boundary and inside the null hypothesis."""
    counts = np.arange(n + 1)
    p = np.array(of_counts(lambda k: equivalence_p(k, n), n))
    for share in np.linspace(0.5 - EPSILON, 0.5 + EPSILON, 9):
        chance = binom.pmf(counts, n, share)
        assert all(chance[p <= level].sum() <= level + 1e-9 for level in LEVELS)
    p = np.array(of_counts(lambda k: at_least(k, n, QUANTILE), n))
    less = np.array(
        of_counts(lambda k: unit_p_values(np.array([k - 0.5]), np.arange(n).astype(float))[0], n)
    )
    for share in (0.1, 0.5, 0.8, QUANTILE):
        own, other = binom.pmf(counts, n, share), binom.pmf(counts, n, max(share, QUANTILE))
        assert all(own[p <= level].sum() <= level + 1e-9 for level in LEVELS)
        assert all(other[less <= level].sum() <= level + 1e-9 for level in LEVELS)


def test_holm_over_units_that_share_their_additions() -> None:
    """Twenty units at the boundary together: any is called needless in at most 5% of circuits."""
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(500):
        change = np.full(20, QUANTILE) + generator.uniform(0, 0.1, 20)
        wrong += min(holm(unit_p_values(change, generator.random(100)))) <= ALPHA
    assert wrong / 500 <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / 500) ** 0.5
    needless = unit_p_values(np.array([0.1, *[2.0] * 19]), generator.random(100))
    assert holm(needless)[0] < 1e-6 and min(holm(needless)[1:]) == 1


def test_independence_of_permuted_examples() -> None:
    """Ranks among permutations, spread over their steps, are exactly uniform; dependence is seen."""
    circuit, _ = additive(EDGES)
    generator = np.random.default_rng(2)
    plain = []
    for seed in range(120):
        subject = world(lambda _: 0.0, [circuit], n=12, seed=seed)
        subject.remember([circuit.complement()], generator.standard_t(3, (1, 12)))
        plain.append(independence(subject)["circuits"][0]["p_value"])
    found = np.array(plain)
    spread = found - generator.random(len(found)) / (PERMUTATIONS + 1)
    assert kstest(spread, "uniform").pvalue > 0.01
    for level in LEVELS:
        assert (found <= level).mean() <= level + 3.3 * (level * (1 - level) / len(found)) ** 0.5
    dependent = world(lambda _: 0.0, [circuit], n=60)
    dependent.remember([circuit.complement()], (dependent.full**2)[None])
    assert independence(dependent)["circuits"][0]["rejected"]


@pytest.mark.parametrize("test", [sufficiency, partial_necessity])
def test_a_circuit_that_does_everything_is_sufficient_and_needed(test: Callable) -> None:
    circuit, effect = additive(EDGES)
    (found,) = test(world(effect, [circuit], draws=30))["circuits"]
    assert found["share_beaten"] == 1 and found["rejected"]
    assert found["p_value"] == pytest.approx(QUANTILE**30)
    idle = random_circuit(edge_space(), 4, 3)
    (found,) = test(world(lambda _: 0.0, [idle], draws=30))["circuits"]
    assert found["share_beaten"] == 0.5 and not found["rejected"]  # ties are half


def test_random_circuits_pass_as_often_as_the_docs_say() -> None:
    """A random one's rank is uniform: of N draws it beats k or more in (N - k + 1) / (N + 1) of cases."""
    generator = np.random.default_rng(4)
    for draws in (30, 100):
        least = next(k for k in range(draws + 1) if at_least(k, draws, QUANTILE) <= ALPHA)
        rate = (draws - least + 1) / (draws + 1)
        assert rate < 1 - QUANTILE
        passed = [
            against_random(point(), *split(generator.normal(size=draws + 1)))["rejected"]
            for _ in range(RUNS)
        ]
        assert abs(np.mean(passed) - rate) < 3.3 * (rate * (1 - rate) / RUNS) ** 0.5


def split(values: np.ndarray) -> tuple[float, np.ndarray]:
    return float(values[0]), values[1:]


def test_random_circuits_of_a_models_true_size_fail() -> None:
    truth = truths.truth("induction")
    random = [random_circuit(truth.space, truth.n_kept, 1000 + seed) for seed in range(15)]
    subject = truth_subject("induction", random, draws=40)
    passed = [one["rejected"] for one in sufficiency(subject)["circuits"]]
    assert len(passed) == len({one.kept.tobytes() for one in random})
    assert np.mean(passed) <= 0.1
