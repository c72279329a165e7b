"""The registry of ablations: which there are, what each needs, and which sides means are over."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.ablation import ABLATIONS, make_ablation
from harness_circuits.ablation.ablations import check_ablation
from harness_circuits.errors import OptionError, UnknownNameError


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_replaces_every_output_of_a_batch(name: str) -> None:
    model, batches = tiny_model("llama"), token_batches()
    found = make_ablation(name, model, batches).replacement(model, batches[0])
    shape = (len(batches[0]), *batches[0].clean.ids.shape[1:])
    for x in (found.embedded, *found.mlp, *found.mixed):
        assert all(own in (1, full) for own, full in zip(x.shape[:2], shape, strict=True))
        assert torch.isfinite(x).all()
    assert ABLATIONS.get(name).description
    assert ABLATIONS.get(name).constant is not None or ABLATIONS.get(name).why_pairs


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(UnknownNameError, match=r"'men'\. Did you mean 'mean'"):
        check_ablation("men", "clean")
    with pytest.raises(OptionError, match="mean_over"):
        check_ablation("mean", "both")
