"""Intervals and tests of differences, over plain arrays."""

from harness_circuits.statistics.bootstrap import Interval, resample_weights, weight_blocks
from harness_circuits.statistics.differences import (
    Difference,
    holm,
    paired_differences,
    unpaired_differences,
)
from harness_circuits.statistics.ratio import RatioIntervals, ratio_intervals

__all__ = [
    "Difference",
    "Interval",
    "RatioIntervals",
    "holm",
    "paired_differences",
    "ratio_intervals",
    "resample_weights",
    "unpaired_differences",
    "weight_blocks",
]
