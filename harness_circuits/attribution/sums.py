"""Score sums over a job's batches, with the sums of groups of examples on request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness_circuits.circuits.samples import Samples
from harness_circuits.machine.ranks import Ranks


class ScoreSums:
    """Sums that a method adds to, batch after batch.

    Attributes:
        total: Sums over all examples so far, in float64; a method adds to it in place.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        device: torch.device,
        batches: Sequence[int],
        keep: int,
        own: Sequence[int],
    ) -> None:
        """Start at zero.

        Args:
            shape: Shape of the scores.
            device: Where to add.
            batches: Number of examples of every batch.
            keep: Keep the sums of at most this many groups of consecutive batches; 0 for none.
            own: Numbers of the batches that will be added here, in this order.
        """
        self.total: Float[Tensor, "*units"] = torch.zeros(shape, dtype=torch.float64, device=device)
        self.n_done = 0
        self._sizes, self._n_own = list(batches), len(own)
        self._kept: np.ndarray | None = None
        if keep:
            self._all_groups = group_batches(self._sizes, keep)
            self._groups = self._all_groups[list(own)]
            self._kept = np.zeros((int(self._all_groups[-1]) + 1, *shape), dtype=np.float32)
            self._before = torch.zeros_like(self.total)

    def batch_done(self) -> None:
        """Note that the next batch has been added."""
        done, self.n_done = self.n_done, self.n_done + 1
        if self._kept is None:
            return
        group, last = self._groups[done], self.n_done == self._n_own
        if last or self._groups[self.n_done] != group:
            self._kept[group] = (self.total - self._before).cpu().numpy()
            self._before.copy_(self.total)

    def samples(self, ranks: Ranks) -> Samples | None:
        """The sums of the groups over all ranks; None where none are kept."""
        if self._kept is None:
            return None
        assert self.n_done == self._n_own, "pass the sums to job.watched as well"
        sizes = np.bincount(self._all_groups, weights=self._sizes).astype(np.int64)
        return Samples(ranks.sum_(torch.from_numpy(self._kept)).numpy(), sizes)


def group_batches(sizes: Sequence[int], keep: int) -> Int[np.ndarray, "batch"]:
    """Group of every batch: at most `keep` groups of about equally many examples, in order."""
    before = np.cumsum([0, *sizes[:-1]])
    _, groups = np.unique(before * keep // sum(sizes), return_inverse=True)
    return groups
