"""What a pass reads: rows chosen and repeated together with their positions, mask, prefix and spans."""

from __future__ import annotations

import torch

from harness_circuits.models.inputs import Inputs
from harness_circuits.models.prefix import Prefix

IDS = torch.arange(6).view(2, 3)
POSITIONS = torch.tensor([[4, 5, 6], [4, 5, 5]])
MASK = torch.arange(2 * 3 * 7.0).view(2, 1, 3, 7)
PREFIX = Prefix([(torch.arange(16.0).view(2, 1, 4, 2), torch.ones(2, 1, 4, 2))])
SPANS = torch.tensor([[0, 0, 1], [0, 1, 1]])
INPUTS = Inputs(IDS, torch.tensor([2]), POSITIONS, MASK, PREFIX, SPANS)


def test_rows_are_chosen_everywhere() -> None:
    one = INPUTS.rows(torch.tensor([1]))
    assert one.ids.tolist() == [[3, 4, 5]] and one.reads is INPUTS.reads
    assert one.positions is not None and one.mask is not None and one.prefix is not None
    assert one.positions.tolist() == [[4, 5, 5]]
    assert one.spans is not None and one.spans.tolist() == [[0, 1, 1]]
    torch.testing.assert_close(one.mask, MASK[1:])
    (keys, _) = one.prefix.keys_and_values()[0]
    torch.testing.assert_close(keys, torch.arange(8.0, 16).view(1, 1, 4, 2))


def test_repeated_rows_stand_one_run_after_the_other_on_one_prefix() -> None:
    twice = INPUTS.repeated(2)
    assert twice.ids.tolist() == [*IDS.tolist(), *IDS.tolist()]
    assert twice.positions is not None and twice.mask is not None
    assert twice.positions.tolist() == [*POSITIONS.tolist(), *POSITIONS.tolist()]
    torch.testing.assert_close(twice.mask, torch.cat([MASK, MASK]))
    assert twice.prefix is PREFIX
    assert twice.spans is not None and twice.spans.tolist() == [*SPANS.tolist(), *SPANS.tolist()]


def test_what_is_seen_is_the_prefix_and_what_is_given() -> None:
    cpu = torch.device("cpu")
    assert INPUTS.key_positions(cpu).tolist() == [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 5]]
    alone = Inputs(IDS, INPUTS.reads, POSITIONS)
    assert alone.key_positions(cpu).tolist() == POSITIONS.tolist()
    assert Inputs(IDS, INPUTS.reads).repeated(2).positions is None
