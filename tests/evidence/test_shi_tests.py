"""The tests of Shi et al.: p-values where the null hypothesis holds, and planted alternatives."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from helpers import truths
from helpers.evidence_cases import GRAPH, additive, edge_space, truth_subject, world
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.evaluation.null_circuits import random_circuit, random_circuit_outside
from harness_circuits.evidence import EVIDENCE
from harness_circuits.evidence.equivalence import equivalence, equivalence_p
from harness_circuits.evidence.independence import independence
from harness_circuits.evidence.minimality import added_units, changed, minimality
from harness_circuits.evidence.partial_necessity import partial_necessity
from harness_circuits.evidence.sufficiency import sufficiency
from harness_circuits.ground_truth import GROUND_TRUTH
from harness_circuits.statistics.binomial import at_least, at_most, wilson
from harness_circuits.statistics.hsic import hsic_ends, hsic_test
from harness_circuits.statistics.jackknife import jackknife_ends

EDGES = {"input->a0.h0<v>": 0.4, "a0.h0->m1": 0.3, "m1->logits": 0.2, "input->logits": 0.1}


def noise_of(circuit: Circuit, size: float) -> float:
    """A number of a circuit's own, the same whenever it is asked for."""
    return float(np.random.default_rng(list(np.packbits(circuit.kept))).normal(0, size))


@given(st.integers(1, 40), st.floats(0.01, 0.99), st.data())
def test_binomial_tails_are_sums(n: int, share: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    terms = [math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(n + 1)]
    assert at_least(k, n, share) == pytest.approx(sum(terms[k:]), abs=1e-9)
    assert at_most(k, n, share) == pytest.approx(sum(terms[: k + 1]), abs=1e-9)
    low, high = wilson(k / n, n)
    assert 0 <= low <= k / n + 1e-12 and k / n - 1e-12 <= high <= 1


def test_equivalence_by_enumeration() -> None:
    """All outcomes of eight examples at the boundary of the null hypothesis."""
    n, share = 8, 0.6
    outcomes = list(product((0, 1), repeat=n))
    for count in range(n + 1):
        away = abs(count / n - 0.5)
        p = sum(
            share ** sum(o) * (1 - share) ** (n - sum(o))
            for o in outcomes
            if abs(sum(o) / n - 0.5) >= away - 1e-12
        )
        assert equivalence_p(count, n) == pytest.approx(min(1, p))


def test_equivalence_finds_a_shift_and_counts_ties_half() -> None:
    circuit, effect = additive(EDGES)
    (same,) = equivalence(world(effect, [circuit]))["circuits"]
    assert (same["share_above"], same["ties"], same["rejected"]) == (0.5, 60, False)
    (less,) = equivalence(world(lambda c: 0.8 * effect(c), [circuit]))["circuits"]
    assert less["share_above"] == 0 and less["rejected"]


def test_hsic_s_interval_leaves_out_one_example_at_a_time() -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(size=12)
    y = x + generator.normal(0, 0.5, 12)
    kernels = []
    for v in (x, y):
        distance = abs(v[:, None] - v)
        width = np.median(distance[np.triu_indices(12, 1)])
        kernels.append(np.exp(-(distance**2) / (2 * width**2)))

    def trace(kept: np.ndarray) -> float:
        n = len(kept)
        centre = np.eye(n) - 1 / n
        k, other = (kernel[np.ix_(kept, kept)] for kernel in kernels)
        return float(np.trace(k @ centre @ other @ centre)) / (n - 1) ** 2

    everything = np.arange(12)
    wanted = jackknife_ends(
        trace(everything), [trace(np.delete(everything, at)) for at in range(12)]
    )
    assert hsic_ends(x, y) == pytest.approx((max(wanted[0], 0), wanted[1]))  # type: ignore[type-var]
    assert hsic_ends(x[:2], y[:2]) == hsic_ends(x, np.ones(12)) == (None, None)
    assert hsic_ends(x, generator.normal(size=12))[0] == 0


def test_hsic_is_the_trace_of_four_matrices() -> None:
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(2, 9))
    centre = np.eye(9) - 1 / 9
    kernels = []
    for v in (x, y):
        distance = abs(v[:, None] - v)
        width = np.median([distance[i, j] for i in range(9) for j in range(i)])
        kernels.append(np.exp(-(distance**2) / (2 * width**2)))
    by_hand = np.trace(kernels[0] @ centre @ kernels[1] @ centre) / 64
    assert hsic_test(x, y, 9)[0] == pytest.approx(by_hand)


def test_independence_sees_a_complement_that_does_the_task() -> None:
    circuit, effect = additive(EDGES)
    spare = world(lambda c: 1.0, [circuit])
    (carried,) = independence(spare)["circuits"]
    assert carried["rejected"] and carried["p_value"] < 0.01
    # Nothing of the circuit is left: values of the empty circuit, which do not know of the gap.
    (localised,) = independence(world(effect, [circuit], n=40, seed=3))["circuits"]
    assert localised["hsic"] < carried["hsic"]


def test_minimality_tells_needed_units_from_needless_ones() -> None:
    """Edges of weight, edges of none, and a world in which every edge does a little."""
    needless = ["input->a0.h1<v>", "a0.h1->logits"]
    circuit, effect = additive(EDGES | dict.fromkeys(needless, 0.0))
    space = edge_space()
    little = np.random.default_rng(0).normal(0, 0.01, space.shape)
    little[[space.graph.edge_index(name)[0] for name in needless], :] *= 0.01

    def world_of(other: Circuit) -> float:
        return effect(other) + float(little[other.kept].sum())

    (found,) = minimality(world(world_of, [circuit], draws=100))["circuits"]
    assert found["tried"] == 6 and found["rejected"]
    assert not set(found["units"]) & set(EDGES)
    assert "a0.h1->logits" in found["units"]
    (clean,) = minimality(world(effect, [additive(EDGES)[0]], draws=100))["circuits"]
    assert not clean["rejected"] and clean["not_needed"] == 0


@given(st.integers(0, 2**32 - 1))
def test_added_paths_are_absent_and_lead_to_the_logits(seed: int) -> None:
    space = edge_space()
    generator = np.random.default_rng(seed)
    circuit = random_circuit(space, int(generator.integers(2, 20)), seed)
    added = added_units(circuit, generator)
    assert not circuit.kept.ravel()[added].any()
    larger = changed(circuit, added, kept=True)
    assert larger.n_kept == circuit.n_kept + len(added)
    pruned = larger.prune()
    assert pruned.kept.ravel()[added].all()  # nothing of the path is a dead end


@pytest.mark.parametrize("test", [sufficiency, partial_necessity])
def test_random_circuits_pass_no_more_often_than_one_in_ten(test) -> None:
    """A random circuit's rank among as many random ones is uniform: it beats 90% in 10% of cases."""
    space = edge_space()
    passed = []
    for seed in range(60):
        circuit = random_circuit(space, 12, seed + 10_000)
        subject = world(lambda c: noise_of(c, 1.0), [circuit], n=4, draws=60, seed=seed)
        passed.append(test(subject)["circuits"][0]["rejected"])
    assert np.mean(passed) <= 0.1 + 3 * (0.1 * 0.9 / 60) ** 0.5
    assert binom.sf(58, 60, 0.9) < 0.05 < binom.sf(57, 60, 0.9)  # it has to beat 59 of 60


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.sampled_from(["edge", "node"]))
def test_circuits_outside_share_nothing_and_have_no_dead_ends(
    seed: int, n: int, level: str
) -> None:
    space = ScoreSpace(GRAPH, level)  # type: ignore[arg-type]
    circuit = random_circuit(space, min(n, space.n_units - 1), seed)
    other = random_circuit_outside(circuit, seed)
    assert not (circuit & other).n_kept and other.n_kept <= circuit.n_kept
    if level == "edge":
        assert other.prune().n_kept == other.n_kept
        assert other.n_kept or circuit.n_kept > 12 or n < 3


def test_hsic_s_interval_covers() -> None:
    """Normal pairs correlated by 0.6, whose HSIC is that of very many of them."""
    generator = np.random.default_rng(4)

    def draw(n: int) -> np.ndarray:
        x = generator.normal(size=n)
        return np.array([x, 0.6 * x + 0.8 * generator.normal(size=n)])

    truth = float(np.mean([hsic_test(*draw(1500), 0)[0] for _ in range(3)]))
    ends = [hsic_ends(*draw(50)) for _ in range(300)]
    held = np.mean([low <= truth <= high for low, high in ends])  # type: ignore[operator]
    assert 0.92 <= held <= 0.99


@pytest.mark.parametrize("name", GROUND_TRUTH)
def test_models_whose_circuit_is_known_pass_every_test(name: str) -> None:
    truth = truths.truth(name)
    subject = truth_subject(name, [truth], draws=40)
    found = {kind: EVIDENCE.get(kind).function(subject)["circuits"] for kind in SHI}
    rejected = {kind: one[0]["rejected"] for kind, one in found.items()}
    assert rejected == {
        "equivalence": False,
        "independence": False,
        "minimality": False,
        "sufficiency": True,
        "partial-necessity": True,
    }, found
    assert truth.n_kept == found["sufficiency"][0]["kept"]


SHI = ("equivalence", "independence", "minimality", "sufficiency", "partial-necessity")
