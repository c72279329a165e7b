"""A prefix that has been run: joined before what comes, for every row and head of it."""

from __future__ import annotations

import torch
from helpers.tiny_models import tiny_model

from harness_circuits.models.circuit_model import Inputs
from harness_circuits.models.prefix import Prefix, run_prefix


def numbered(rows: int, heads: int, tokens: int) -> torch.Tensor:
    return torch.arange(rows * heads * tokens * 2.0).view(rows, heads, tokens, 2)


def test_every_row_and_head_gets_its_prompts_prefix() -> None:
    keys, new = numbered(2, 2, 3), -numbered(4, 4, 1)
    prefix = Prefix([(keys, keys + 100)])
    joined, values = prefix.layers[0].update(new, new)
    assert joined.shape == (4, 4, 4, 2) and prefix.n_tokens == 3
    for row in range(4):
        for head in range(4):
            torch.testing.assert_close(joined[row, head, :3], keys[row % 2, head // 2])
            torch.testing.assert_close(values[row, head, :3], 100 + keys[row % 2, head // 2])
            torch.testing.assert_close(joined[row, head, 3:], new[row, head])
    again, _ = prefix.layers[0].update(new, new)  # nothing was kept of the first call
    torch.testing.assert_close(again, joined)
    assert prefix.layers[0].get_mask_sizes(1) == (4, 0)


def test_a_run_behind_a_prefix_has_the_logits_of_the_whole() -> None:
    for architecture in ("gpt2", "llama"):
        model = tiny_model(architecture)
        ids = torch.tensor([[3, 1, 4, 1, 5], [2, 7, 1, 8, 2]])
        whole = model.forward(Inputs(ids, torch.tensor([4])))
        prefix, behind = run_prefix(model.hf, ids[:, :3]), torch.tensor([[3, 4], [3, 4]])
        found = model.forward(Inputs(ids[:, 3:], torch.tensor([1]), behind, None, prefix))
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-10)
