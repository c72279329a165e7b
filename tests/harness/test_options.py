"""Options of `--model_args` that are refused before a model is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from harness_circuits.errors import CircuitError
from harness_circuits.harness.lm import CircuitLM


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "RelP", "ln_rule": "maybe"}, "ln_rule is true or false, got 'maybe'"),
        ({"method": "AtP-star", "qk_fix": 3}, "qk_fix is true or false, got 3"),
        (
            {"method": "EAP-IG-activations", "sites": "some"},
            "Unknown sites 'some'. Known: own, all, reference",
        ),
        (
            {"method": "EAP-IG-inputs", "ig_steps": 0},
            "ig_steps is a whole number from 1 to 1000, got 0",
        ),
        (
            {"method": "information-flow-routes", "head_outputs": "cooked"},
            "Unknown head_outputs 'cooked'. Known: raw, normed",
        ),
    ],
)
def test_a_bad_option_of_a_method_is_refused_before_a_model_is_loaded(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(CircuitError, match=message):
        CircuitLM(pretrained="/there/is/no/such/model", **arguments)
