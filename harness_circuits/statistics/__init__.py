"""Bootstrap intervals and tests of differences, over plain arrays."""

from harness_circuits.statistics.bootstrap import (
    Interval,
    interval,
    resample_weights,
    weight_blocks,
)
from harness_circuits.statistics.differences import (
    Difference,
    holm,
    paired_difference,
    unpaired_difference,
)

__all__ = [
    "Difference",
    "Interval",
    "holm",
    "interval",
    "paired_difference",
    "resample_weights",
    "unpaired_difference",
    "weight_blocks",
]
