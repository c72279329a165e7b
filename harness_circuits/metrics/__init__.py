"""Task metrics, one file each: a number per pair from the logits at its read positions.

Attribution differentiates them, and circuits are judged by how much of them they keep. All are
registered in `METRICS`.
"""

from harness_circuits.metrics.metrics import METRICS, Metric
from harness_circuits.registry import import_all

import_all(__name__, __path__)  # every file that registers a metric

__all__ = ["METRICS", "Metric"]
