"""Score sums of groups of discovery examples: what a bootstrap of scores needs.

A score is a mean over examples, so the score of a resampled data set is a weighted mean of what
was already computed: no further model passes. Examples are kept in groups (samples) of a few, not
one by one, to bound the memory; drawing whole groups estimates the same sampling variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from harness_circuits.errors import MismatchError


@dataclass(frozen=True)
class Samples:
    """Score sums per group of examples.

    Attributes:
        sums: Sum of the scores of each group's examples.
        sizes: Number of examples of each group.
    """

    sums: Float32[np.ndarray, sample * units]
    sizes: Int[np.ndarray, "sample"]

    def __post_init__(self) -> None:
        n = len(self.sizes)
        if self.sizes.ndim != 1 or len(self.sums) != n or n == 0 or (self.sizes < 1).any():
            raise MismatchError(
                f"Score sums of shape {self.sums.shape} need as many positive numbers of examples, "
                f"got {self.sizes.tolist()}."
            )

    def __len__(self) -> int:
        return len(self.sizes)

    def resampled(
        self,
        weights: Float[np.ndarray, "draw sample"],
        units: slice | Int[np.ndarray, "unit"] = slice(None),
    ) -> Float[np.ndarray, "draw unit"]:
        """Scores that resampled data would give.

        Args:
            weights: How often each sample was drawn, up to a factor per row; such as
                `bootstrap.resample_weights(len(samples), iters, seed)`.
            units: The units wanted, as flat indices; all at once can take much memory.
        """
        flat = self.sums.reshape(len(self), -1)[:, units].astype(np.float64)
        n_drawn = weights @ self.sizes.astype(np.float64)
        scores: Float[np.ndarray, "draw unit"] = (weights @ flat) / n_drawn[:, None]
        return scores
