"""Attribution methods: one file each, all registered in `METHODS`."""

from harness_circuits.attribution.job import Job, attribute
from harness_circuits.attribution.methods import (
    METHODS,
    Method,
    check_method,
    check_positions,
    no_samples,
)
from harness_circuits.registry import import_all

import_all(__name__, __path__)  # every file that registers a method

__all__ = ["METHODS", "Job", "Method", "attribute", "check_method", "check_positions", "no_samples"]
