"""The QK fix: attention recomputed by plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.query_key_fix import LOGIT_DIFF, recomputed, scores
from helpers.reference_cases import BY_HAND, CASES, exact_case

from harness_circuits.attribution import Job, attribute


@pytest.mark.parametrize(
    ("name", "ablation"), [(name, ablation) for name in CASES for ablation in BY_HAND]
)
def test_qk_fix_recomputes_attention(name: str, ablation: str) -> None:
    with exact_case(name) as case:
        got = scores(case, "edge", ablation, grad_drop=False)
        eap = attribute(
            Job(case.model, [case.batch], LOGIT_DIFF, "edge", case.ablation(ablation)), "EAP"
        ).values
        wanted = recomputed(case, ablation)
        node = scores(case, "node", ablation, grad_drop=False)
    graph = case.model.graph
    fixed = np.zeros(graph.n_dst, dtype=bool)
    for layer in range(graph.n_layers):
        for kind in "qk":
            fixed[graph.kind_slice(layer, kind)] = True
    largest = np.abs(wanted).max()
    assert largest > 1e-3
    np.testing.assert_allclose(got[:, fixed], wanted[:, fixed], rtol=0, atol=1e-9 * largest)
    np.testing.assert_allclose(got[:, ~fixed], eap[:, ~fixed], rtol=0, atol=1e-9)
    assert np.abs(got[:, fixed] - eap[:, fixed]).max() > 1e-2 * largest
    np.testing.assert_allclose(node, got.sum(1), rtol=0, atol=1e-9)


def test_all_positions_together_are_the_papers_sum_for_queries_but_not_for_keys() -> None:
    with exact_case("llama-ungrouped") as case:
        together, single = (recomputed(case, "patching", single=s) for s in (False, True))
    graph = case.model.graph
    for layer in range(graph.n_layers):
        query, key = graph.kind_slice(layer, "q"), graph.kind_slice(layer, "k")
        np.testing.assert_allclose(single[:, query], together[:, query], atol=1e-12)
        assert np.abs(single[:, key] - together[:, key]).max() > 1e-6
