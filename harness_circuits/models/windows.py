"""Masks cut to the windows of layers whose attention reaches only so far.

HuggingFace takes a 4D mask as it is, and adds no window. GPT-Neo's local attention has a table of its
own of which places see each other; it counts places in the sequence. Where answers lie side by side
behind a prompt, the places of a continuation are not its positions, and windows go by positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

SEEN = "places_seen"  # beside a block's own arguments, for `AttentionCore`

Positions = Int[Tensor, "batch pos"]


def cut_masks(
    config: Any, mask: Float[Tensor, "batch 1 pos key"], positions: Positions, keys: Positions
) -> Tensor | dict[str, Tensor]:
    """A mask, cut to the sliding window in the layers that have one.

    A model that mixes kinds of layers takes one mask per kind.

    Args:
        config: The model's.
        mask: Additive mask.
        positions: Of the tokens that look.
        keys: Of those that are seen: any prefix, then the same.
    """
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    if window is None or kinds == {"full_attention"}:
        return mask
    far = near(positions, keys, int(window)).logical_not()
    cut = mask.masked_fill(far, torch.finfo(mask.dtype).min)
    if len(kinds) < 2:
        return cut
    return {kind: cut if kind == "sliding_attention" else mask for kind in kinds}


def near(positions: Positions, keys: Positions, window: int) -> Bool[Tensor, "batch 1 pos key"]:
    """Which keys are less than a window behind, by their positions."""
    return positions[:, None, :, None] - keys[:, None, None, :] < window


def has_table(attention: nn.Module) -> bool:
    """Whether this is GPT-Neo's local attention."""
    return getattr(attention, "attention_type", None) == "local" and hasattr(attention, "bias")


@contextmanager
def seeing(attention: nn.Module, seen: Tensor | None) -> Iterator[None]:
    """Within this context a local attention has another table; None leaves it its own."""
    if seen is None:
        yield
        return
    own = attention._buffers["bias"]
    attention._buffers["bias"] = seen
    try:
        yield
    finally:
        attention._buffers["bias"] = own
