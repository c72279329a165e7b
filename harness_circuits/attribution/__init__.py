"""Attribution methods: one file each, all registered in `METHODS`."""

from harness_circuits.attribution import eap, eap_ig_inputs, random_scores
from harness_circuits.attribution.ensemble import ensemble
from harness_circuits.attribution.job import (
    METHODS,
    Job,
    Method,
    attribute,
    check_method,
    no_samples,
)

__all__ = ["METHODS", "Job", "Method", "attribute", "check_method", "ensemble", "no_samples"]

del eap, eap_ig_inputs, random_scores
