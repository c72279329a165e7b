"""TransformerLens's folding, by hand (`benchmarks/folding.py`): the same model, other nodes."""

from __future__ import annotations

import pytest
import torch

from benchmarks.folding import CASES, LENGTH, VOCABULARY, compare, fold, random_model


def test_folding_leaves_the_model_as_it_is_up_to_a_constant() -> None:
    ids = torch.randint(VOCABULARY, (3, LENGTH), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain, folded = (model(ids).logits for model in (random_model(0), fold(random_model(0))))
    difference = plain - folded
    assert float(difference.abs().max()) > 1e-3
    torch.testing.assert_close(difference - difference.mean(-1, keepdim=True), 0 * difference)


def test_it_changes_what_zero_removes_and_what_flows_but_not_patching() -> None:
    found = compare(0)
    for method, ablation in CASES:
        scores, circuits = found[method, ablation]
        if method == "information-flow-routes":
            assert scores > 0.01
        elif ablation == "patching":
            assert (scores, circuits) == pytest.approx((0, 0), abs=1e-9)
        else:
            assert min(scores, circuits) > 0.1
