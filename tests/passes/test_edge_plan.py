"""Plans of edge circuits: what each destination adds up, as short lists."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.random_circuits import random_circuit
from helpers.tiny_models import tiny_model

from harness_circuits.passes.edge_plan import EdgePlan
from harness_circuits.passes.places import Places


@pytest.mark.parametrize("share", [0.05, 0.7, 0.97])
@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "gemma2"])
def test_dense_rows_are_short_lists_of_what_they_leave_out(architecture: str, share: float) -> None:
    """The plan alone; what circuits of all densities compute is in test_circuit_run.py."""
    model = tiny_model(architecture)
    circuit = random_circuit(model, share=share)
    post_norm = (1e-6,) * model.graph.n_layers if architecture == "gemma2" else ()
    n_kv = [len(layer.folded["k"][0]) for layer in model.layers]
    how = circuit, n_kv, Places.of(model), model.dtype
    with_totals = EdgePlan(*how, post_norm=post_norm, totals=True)
    plain = EdgePlan(*how, post_norm=post_norm, totals=False)
    assert plain.total is None
    assert (with_totals.total is not None) == (share > 0.5 and not post_norm)
    pairs = zip(with_totals.attention, plain.attention, strict=True)
    for block, reference in pairs:
        assert block.n_rows == reference.n_rows and np.array_equal(block.of, reference.of)
        for sums, listed in zip(block.sums, reference.sums, strict=True):
            assert len(sums.slots) <= len(listed.slots)
            assert len(sums.starts) == block.n_rows
