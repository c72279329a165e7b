"""Windows of attention behind a prompt with answers side by side."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import (
    GROUPED,
    tiny_model,
)

from harness_circuits.models.circuit_model import Inputs
from harness_circuits.pairs.answer_tree import tree_layout
from harness_circuits.passes.native import record

IDS = torch.tensor([[3, 14, 15, 9, 26], [2, 7, 18, 28, 18]])
INPUTS = Inputs(IDS, torch.arange(5))
MOE = {**GROUPED, "num_experts_per_tok": 2}


@pytest.mark.parametrize("architecture", ["gpt_neo", "mistral", "phi3", "gemma2"])
def test_windows_go_by_positions_where_answers_lie_side_by_side(architecture: str) -> None:
    """A window of 4 behind a prompt of 5: by places, the second answer would not see its prompt."""
    model = tiny_model(architecture)
    prompt, answers = IDS[0].tolist(), ([7, 11, 13], [17, 19, 23])
    positions, mask = tree_layout((-1, 0, 1, -1, 3, 4), len(prompt), 1)
    ids = torch.tensor([prompt + answers[0] + answers[1]])
    together = Inputs(ids, torch.arange(5, 11), positions, mask)
    alone = torch.cat(
        [
            model.forward(Inputs(torch.tensor([prompt + answer]), torch.arange(5, 8)))
            for answer in answers
        ],
        dim=1,
    )
    for got in (model.forward(together), record(model, together)[1]):
        torch.testing.assert_close(got, alone, rtol=0, atol=1e-4)
    plain = Inputs(ids[:, :8], torch.arange(8))
    with torch.no_grad():  # the model's own table is back
        wanted = model.hf(ids[:, :8], use_cache=False).logits
    assert torch.equal(model.forward(plain), wanted)
