"""What one forward pass reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_circuits.models.prefix import Prefix


@dataclass(frozen=True)
class Inputs:
    """What one forward pass reads.

    Attributes:
        ids: Token ids; all rows have the same length, so that nothing is padded.
        reads: Positions whose logits are wanted.
        positions: Position ids where they are not 0, 1, 2, ...
        mask: Additive attention mask [batch, 1, pos, key] where it is not the causal one.
        prefix: What has been run already of each prompt; the ids are those behind it, and
            positions are given.
        spans: Number of the span that each token lies in; None where positions play no part.
        padded: Some rows begin with what is no token of theirs: not to be run as they are.
    """

    ids: Int[Tensor, "batch pos"]
    reads: Int[Tensor, "read"]
    positions: Int[Tensor, "batch pos"] | None = None
    mask: Float[Tensor, "batch 1 pos key"] | None = None
    prefix: Prefix | None = None
    spans: Int[Tensor, "batch pos"] | None = None
    padded: bool = False

    def __post_init__(self) -> None:
        assert self.ids.ndim == 2 and self.reads.ndim == 1
        assert self.prefix is None or self.positions is not None

    def unread(self) -> Inputs:
        """The same, of which no logits are wanted."""
        return replace(self, reads=self.reads[:0])

    def repeated(self, times: int) -> Inputs:
        """The same rows, a number of times one after the other."""
        return replace(
            self,
            ids=self.ids.repeat(times, 1),
            positions=None if self.positions is None else self.positions.repeat(times, 1),
            mask=None if self.mask is None else self.mask.repeat(times, 1, 1, 1),
            spans=None if self.spans is None else self.spans.repeat(times, 1),
        )

    def rows(self, rows: Int[Tensor, "row"]) -> Inputs:
        """Some of the rows."""
        return replace(
            self,
            ids=self.ids[rows],
            positions=None if self.positions is None else self.positions[rows],
            mask=None if self.mask is None else self.mask[rows],
            prefix=None if self.prefix is None else self.prefix.rows(rows),
            spans=None if self.spans is None else self.spans[rows],
        )

    def key_positions(self, device: torch.device) -> Int[Tensor, "batch key"]:
        """Positions of all that is seen: the prefix's tokens, then the given ones."""
        assert self.positions is not None
        positions = self.positions.to(device)
        if self.prefix is None:
            return positions
        before = torch.arange(self.prefix.n_tokens, device=device).expand(len(positions), -1)
        return torch.cat([before, positions], dim=1)
