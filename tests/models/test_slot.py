"""What stands in for a block: its attributes for the model, its call for the pass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness_circuits.models.slot import Slot
from harness_circuits.models.windows import SEEN

CPU = torch.device("cpu")


def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    return args[0], dict(kwargs)


LAYER: Any = SimpleNamespace(device=CPU, bind=bind)


def add_index(index: int, x: Tensor, arguments: dict[str, Any]) -> Tensor:
    return x + index + sum(value for name, value in arguments.items() if name != SEEN)


def test_a_call_goes_to_the_pass() -> None:
    block = nn.Linear(2, 2)
    assert Slot(3, LAYER, block, add_index, CPU)(torch.ones(1), more=4).tolist() == [8]
    wrapped = Slot(3, LAYER, block, add_index, CPU, in_tuple=True)(torch.ones(1))
    assert wrapped[0].tolist() == [4] and wrapped[1] is None
    given: dict[str, Any] = {}

    def keep(index: int, x: Tensor, arguments: dict[str, Any]) -> Tensor:
        given.update(arguments)
        return x

    seen = torch.ones(1, dtype=torch.bool)
    Slot(0, LAYER, block, keep, CPU, seen=seen)(torch.ones(1))
    assert given[SEEN].tolist() == [True]


def test_the_model_reads_its_blocks_attributes_and_finds_no_parameters_twice() -> None:
    block = nn.Linear(2, 2)
    block.attention_type = "sliding"  # type: ignore[assignment]
    slot = Slot(0, LAYER, block, add_index, CPU)
    assert slot.attention_type == "sliding"
    assert list(slot.parameters()) == [] and list(slot.children()) == []
    with pytest.raises(AttributeError, match="nothing"):
        _ = slot.nothing
