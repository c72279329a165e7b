"""Which inputs the query, key or value destinations of a layer read, worked out once per circuit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

Selector = slice | Int[Tensor, "n"]


@dataclass(frozen=True)
class Part:
    """Destinations whose projections are one batched matrix product.

    Attributes:
        rows: Which of the layer's distinct inputs they read.
        weights: Which of the model's projection weights they have.
        heads: Which of the layer's destinations of this kind they are.
    """

    rows: Selector
    weights: Selector
    heads: Selector


@dataclass(frozen=True)
class Reading:
    """What all destinations of one kind in a layer read.

    Attributes:
        n: Number of destinations.
        shared: The row that all of them read, if there is one.
        parts: Those that read rows of their own; destinations in no part are ablated.
        complete: Whether every destination is in a part.
    """

    n: int
    shared: int | None
    parts: tuple[Part, ...] = ()
    complete: bool = False


def read_rows(
    of: Int[np.ndarray, "dst"], n_weights: int, device: torch.device | None = None
) -> Reading:
    """Group destinations for batched products.

    Args:
        of: The row of each destination, or -1 where nothing is kept.
        n_weights: Number of projection weights; destinations may share them, as the key and value
            heads of grouped-query attention do.
        device: Where the layer's weights are.
    """
    heads = np.flatnonzero(of >= 0)
    if len(heads) == len(of) and (of == of[0]).all():
        return Reading(len(of), int(of[0]))
    own, rank = np.divmod(heads, len(of) // n_weights)
    parts = tuple(
        Part(*(selector(x[chosen], device) for x in (of[heads], own, heads)))
        for chosen in (np.flatnonzero(rank == number) for number in np.unique(rank))
    )
    return Reading(len(of), None, parts, len(heads) == len(of))


def selector(which: Int[np.ndarray, "n"], device: torch.device | None = None) -> Selector:
    """An index that gives a view where the numbers are evenly spaced upwards."""
    steps = np.diff(which)
    step = int(steps[0]) if len(steps) else 1
    if len(which) and step > 0 and (steps == step).all():
        return slice(int(which[0]), int(which[-1]) + 1, step)
    return torch.from_numpy(which).to(device)
