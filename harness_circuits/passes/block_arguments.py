"""What the model hands to its blocks' attention beside hidden states: masks, rotary tables, positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness_circuits.models.circuit_model import CircuitModel, Inputs

Arguments = dict[int, dict[str, Any]]


@torch.no_grad()
def block_arguments(model: CircuitModel, inputs: Inputs) -> Arguments:
    """The arguments of every block's attention for some inputs; no block is run."""
    found: Arguments = {}

    def function(index: int, x: Tensor, arguments: dict[str, Any]) -> Tensor:
        found[index] = arguments
        return x

    model.forward(inputs, function)
    model.counts["forward"] -= 1  # it is no pass
    model.counts["tokens"] -= inputs.ids.numel()
    return found


def rows_of(value: Any, rows: slice, of: int, times: int = 1) -> Any:
    """Arguments of an attention for some of its rows.

    Args:
        value: An argument, or a collection of them.
        rows: Which rows.
        of: How many there are; tensors of that size have one entry per row.
        times: How often the rows are there, one time after the other.
    """
    if isinstance(value, Tensor):
        if value.ndim < 2 or value.shape[0] != of:
            return value
        return value[rows].repeat(times, *[1] * (value.ndim - 1)) if times > 1 else value[rows]
    if type(value) in (tuple, list):
        return type(value)(rows_of(part, rows, of, times) for part in value)
    if type(value) is dict:
        return {name: rows_of(part, rows, of, times) for name, part in value.items()}
    return value
