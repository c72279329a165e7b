"""`compat=mib`: the scores of EAP-IG's own code, recorded in the parity arrays, quirks included."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.parity_fixtures import (
    ARCHITECTURES,
    arrays,
    assert_parity,
    needs_parity,
    parity_batches,
    parity_model,
)

from harness_circuits.attribution import Job, attribute
from harness_circuits.errors import OptionError
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.settings import Settings

# The reference divides once more by the number of its 6 examples.
CASES = [
    ("EAP", {}, "edge_EAP_patching"),
    ("EAP-IG-inputs", {}, "edge_EAP_IG_inputs"),
    ("clean-corrupted", {}, "edge_clean_corrupted"),
    ("EAP-IG-activations", {"sites": "reference"}, "edge_EAP_IG_activations"),
]


def scores(architecture: str, method: str, *, raw_heads: bool, **options: str) -> np.ndarray:
    batches = parity_batches(architecture)
    metric = METRICS.get("logit_diff")
    job = Job(parity_model(architecture), batches, metric, raw_heads=raw_heads)
    return attribute(job, method, **options).values


@needs_parity
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("method", "options", "array"), CASES)
def test_scores_are_those_of_the_reference_code(
    architecture: str, method: str, options: dict[str, str], array: str
) -> None:
    assert_parity(
        scores(architecture, method, raw_heads=True, **options), arrays(architecture)[array] * 6
    )


@needs_parity
def test_without_it_scores_of_a_post_norm_model_differ() -> None:
    expected = arrays("gemma2")["edge_EAP_patching"] * 6
    found = scores("gemma2", "EAP", raw_heads=False)
    assert np.abs(found - expected).max() > 0.1 * np.abs(expected).max()


def test_the_preset_sets_what_the_method_knows() -> None:
    settings = Settings.from_arguments({"compat": "mib", "method": "EAP-IG-activations"})
    assert settings.to_dict()["method_options"]["sites"] == "reference"
    chosen = Settings.from_arguments(
        {"compat": "mib", "method": "EAP-IG-activations", "sites": "own"}
    )
    assert chosen.to_dict()["method_options"]["sites"] == "own"
    assert "sites" not in Settings(compat="mib").to_dict()["method_options"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"compat": "mib", "level": "node"}, "at level=edge with ablation=patching only"),
        ({"compat": "mib", "ablation": "mean"}, "at level=edge with ablation=patching only"),
        ({"compat": "mob"}, "Did you mean 'mib'?"),
    ],
)
def test_where_it_is_not_defined_it_is_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises((OptionError, LookupError)) as caught:
        Settings.from_arguments(arguments)
    assert message in str(caught.value)
