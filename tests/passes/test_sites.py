"""Sites: every source is in one, in order; runs with given values at them."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import ARCHITECTURES, tiny_model, token_batches

from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.passes.native import record
from harness_circuits.passes.sites import SiteRun, sites_of


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sites_are_all_sources_in_order(architecture: str) -> None:
    model = tiny_model(architecture)
    graph = model.graph
    sites = sites_of(ScoreSpace(graph))
    found = [source for site in sites for source in range(*site.sources.indices(99))]
    assert found == list(range(graph.n_src))
    assert [site.is_input for site in sites] == [True] + [False] * (2 * graph.n_layers)


def test_runs_side_by_side_each_have_their_own_sites_value() -> None:
    """A site at its own clean value changes nothing; another's at zero changes that run alone."""
    model, (batch,) = tiny_model("gpt2"), token_batches()
    seen, logits = record(model, batch.clean)
    _, heads, mlp, *_ = sites_of(ScoreSpace(model.graph))
    fixed = [(heads, seen["mixed"][0]), (mlp, torch.zeros_like(seen["mlp"][0]))]
    run = SiteRun(model, (), fixed=fixed)
    with torch.no_grad():
        same, other = model.forward(batch.clean.repeated(2), run).chunk(2)
        without = model.forward(batch.clean, SiteRun(model, (), fixed=fixed[1:]))
    torch.testing.assert_close(same, logits)
    torch.testing.assert_close(other, without)
    assert float((other - logits).abs().max()) > 1e-3
