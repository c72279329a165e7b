"""Attribution methods: one file each, all registered in `METHODS`."""

from harness_circuits.attribution import (
    atp_star,
    clean_corrupted,
    eap,
    eap_ig_activations,
    eap_ig_inputs,
    exact,
    information_flow_routes,
    random_scores,
    relp,
)
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

del atp_star, clean_corrupted, eap, eap_ig_activations, eap_ig_inputs, exact
del information_flow_routes, random_scores, relp
