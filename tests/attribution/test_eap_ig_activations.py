"""EAP-IG-activations against partly open gates and exact effects."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from helpers.reference import gated_metric, logit_diff
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
from helpers.tiny_models import (
    tiny_model,
    token_batches,
)

from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.gradient import even_points
from harness_circuits.circuits.scores import GRAPH_LEVELS, Level, ScoreSpace
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.passes.sites import sites_of

LOGIT_DIFF = METRICS.get("logit_diff")


def activations(case: Case, level: Level, ablation: str, **options: object) -> np.ndarray:
    job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))
    return attribute(job, "EAP-IG-activations", **options).values


GRID = [
    (name, level, ablation, ("left", "midpoint")[number % 2], 1)
    for number, (name, level, ablation) in enumerate(product(CASES, GRAPH_LEVELS, BY_HAND))
]
GRID += [(name, "edge", "patching", "right", 2) for name in CASES]
GRID += [("gpt_neox-ungrouped", "edge", "mean", "gausslegendre", 2)]


@pytest.mark.parametrize(("name", "level", "ablation", "rule", "steps"), GRID)
def test_own_paths_are_gradients_of_partly_open_gates(
    name: str, level: Level, ablation: str, rule: str, steps: int
) -> None:
    """Opening a site's gates by 1 - alpha replaces its output by that share."""
    with exact_case(name) as case:
        got = activations(case, level, ablation, ig_steps=steps, ig_rule=rule)
        replacement = case.replacement(ablation)
        wanted = np.zeros(got.shape)
        for site in sites_of(ScoreSpace(case.model.graph)):
            for point in even_points(rule, steps):
                gates = case.reference.gates(level)
                gates[site.sources] = 1 - point.alpha
                gates.requires_grad_(True)
                metric = gated_metric(
                    case.reference,
                    clean(PAIRS),
                    corrupted(PAIRS),
                    gates,
                    answers(PAIRS),
                    replacement=replacement,
                ).mean()
                (gradient,) = torch.autograd.grad(metric, gates)
                wanted[site.sources] -= point.weight * gradient[site.sources].numpy()
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("name", "ablation"),
    [
        ("gpt2-ungrouped", "zero"),
        ("llama-ungrouped", "patching"),
        ("gemma2-grouped", "patching"),
    ],
)
def test_edges_of_a_site_add_up_to_the_effect_of_replacing_it(name: str, ablation: str) -> None:
    """Completeness of integrated gradients, site by site."""
    options = {"ig_steps": 96, "ig_rule": "gausslegendre"}
    with exact_case(name) as case, torch.no_grad():
        nodes = activations(case, "node", ablation, **options)
        metric, replacement = logit_diff(answers(PAIRS)), case.replacement(ablation)
        before = metric(case.reference.run(clean(PAIRS))[0]).mean()
        for site in sites_of(ScoreSpace(case.model.graph)):
            gates = case.reference.gates("node")
            gates[site.sources] = 1
            after = metric(case.reference.run(clean(PAIRS), gates, replacement)[0]).mean()
            wanted = float(before - after)
            assert nodes[site.sources].sum() == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize("sites", ["own", "all"])
def test_number_of_passes(sites: str) -> None:
    """Of `own`, the clean end of all paths is one run, and blocks before a site are not run."""
    model = tiny_model("llama")
    scores = attribute(Job(model, token_batches(), LOGIT_DIFF), "EAP-IG-activations", sites=sites)
    n_sites = 1 + 2 * model.graph.n_layers
    backward = 4 * n_sites + 1 if sites == "own" else 5 * n_sites
    assert scores.provenance["passes"]["backward"] == backward
    assert scores.provenance["passes"]["forward"] == backward + 2
