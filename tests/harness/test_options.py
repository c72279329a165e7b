"""Options of `--model_args` that are refused before a model is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from harness_circuits.errors import OptionError
from harness_circuits.harness.lm import CircuitLM


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "RelP", "ln_rule": "maybe"}, "ln_rule is true or false, got 'maybe'"),
        ({"method": "AtP-star", "qk_fix": 3}, "qk_fix is true or false, got 3"),
        ({"method": "EAP-IG-activations", "sites": "some"}, "sites is 'own', 'all' or 'reference'"),
        ({"method": "EAP-IG-inputs", "ig_steps": 0}, "ig_steps is a whole number of at least 1"),
        (
            {"method": "information-flow-routes", "head_outputs": "cooked"},
            "head_outputs is 'raw' or 'normed', got 'cooked'",
        ),
    ],
)
def test_a_bad_option_of_a_method_is_refused_before_a_model_is_loaded(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        CircuitLM(pretrained="/there/is/no/such/model", **arguments)
