"""Tables of learned position embeddings, and how they are called."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

Positions = Int[Tensor, "batch pos"]


def look_up(table: nn.Module, positions: Positions) -> Float[Tensor, "batch pos model"]:
    """The embeddings of positions 0, 1, 2, ..., wherever the table begins (OPT's at its third row)."""
    out: Tensor
    out = table(None, position_ids=positions) if hasattr(table, "offset") else table(positions)
    return out


def positions_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Positions:
    """The positions that a model calls its table with."""
    found: Tensor = kwargs["position_ids"] if "position_ids" in kwargs else args[0]
    return found
