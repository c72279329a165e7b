"""Tables of learned positions, also where they begin at another row."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import random_hf
from torch import nn

from harness_circuits.models.positions import look_up, positions_of


@pytest.mark.parametrize("architecture", ["gpt2", "opt", "gpt_neo"])
def test_a_positions_embedding_is_what_the_model_adds(architecture: str) -> None:
    """Looked up for 0, 1, 2 as the model itself calls its table for a prompt of three tokens."""
    hf = random_hf(architecture)
    (table,) = (
        module for name, module in hf.named_modules() if name.endswith(("wpe", "embed_positions"))
    )
    seen: list[torch.Tensor] = []
    handle = table.register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.no_grad():
        hf(torch.tensor([[5, 6, 7]]))
        handle.remove()
        found = look_up(table, torch.tensor([[0, 1, 2]]))
    torch.testing.assert_close(found.reshape(seen[0].shape), seen[0])


def test_positions_are_found_in_either_kind_of_call() -> None:
    positions = torch.tensor([[0, 1]])
    assert positions_of((positions,), {}) is positions
    assert positions_of((None,), {"position_ids": positions}) is positions
    table = nn.Embedding(4, 2)
    torch.testing.assert_close(look_up(table, positions), table.weight[None, :2])
