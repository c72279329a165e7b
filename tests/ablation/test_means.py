"""One sum of outputs for all means: however prompts are split, the mean over all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.tiny_models import tiny_model

from harness_circuits.ablation.means import MeanSums, mapped
from harness_circuits.passes.native import Outputs, zero_outputs

LENGTH = 5


def random_outputs(rows: int, seed: int) -> Outputs:
    generator = torch.Generator().manual_seed(seed)

    def of_rows(x: torch.Tensor) -> torch.Tensor:
        shape = (rows, *x.shape[1:])
        return torch.randn(shape, generator=generator, dtype=x.dtype)

    return mapped(zero_outputs(tiny_model("gpt2"), LENGTH), of_rows)


def tensors(outputs: Outputs) -> list[torch.Tensor]:
    return [outputs.embedded, *outputs.mixed, *outputs.mlp]


PARTS = [random_outputs(rows, seed) for seed, rows in enumerate((3, 1, 2))]
WHOLE = [torch.cat(same) for same in zip(*map(tensors, PARTS), strict=True)]


def test_means_over_tokens_weigh_every_token_alike() -> None:
    sums = MeanSums(tiny_model("gpt2"))
    for part in PARTS:
        sums.add_tokens(part, n_pos=3)  # answers, which follow, are not counted
    (means,) = sums.means().values()
    for mean, all_rows in zip(tensors(means), WHOLE, strict=True):
        torch.testing.assert_close(mean, all_rows[:, :3].mean((0, 1))[None, None])


def test_means_over_rows_keep_positions_apart() -> None:
    sums = MeanSums(tiny_model("gpt2"))
    for part in PARTS:
        sums.add_rows(part, key=LENGTH)
    for mean, all_rows in zip(tensors(sums.means()[LENGTH]), WHOLE, strict=True):
        torch.testing.assert_close(mean, all_rows.mean(0, keepdim=True))


@pytest.mark.parametrize("empty", [0, 1])
def test_processes_that_saw_other_lengths_agree(empty: int) -> None:
    """Two processes, of which one saw no prompt of the length: it adds zeros under that key."""

    class TwoRanks:
        size = 2

        def __init__(self, other: MeanSums) -> None:
            self.other, self.sums = other, iter(())

        def gather(self, own: Any) -> list[Any]:
            theirs = {key: n for key, (_, n) in self.other._sums.items()}
            self.sums = iter(x for key in sorted({*own, *theirs}) for x in self.parts(key))
            return [own, theirs]

        def parts(self, key: Any) -> list[torch.Tensor]:
            found = self.other._sums.get(key)
            return tensors(zero_outputs(tiny_model("gpt2"), key) if found is None else found[0])

        def sum_(self, x: torch.Tensor) -> torch.Tensor:
            return x + next(self.sums)

    one, other = (MeanSums(tiny_model("gpt2")) for _ in range(2))
    for at, part in enumerate(PARTS):
        (one if at != empty else other).add_rows(part, key=LENGTH)
    one.over_ranks(TwoRanks(other), lambda key: key)  # type: ignore[arg-type]
    for mean, all_rows in zip(tensors(one.means()[LENGTH]), WHOLE, strict=True):
        torch.testing.assert_close(mean, all_rows.mean(0, keepdim=True))
