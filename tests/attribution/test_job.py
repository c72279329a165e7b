"""What every method is given, and what is refused of its scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.attribution import Job, attribute
from harness_circuits.errors import NumericalError, OptionError
from harness_circuits.metrics.metrics import METRICS, Metric

LOGIT_DIFF = METRICS.get("logit_diff")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ig_steps": 0}, "ig_steps is a whole number from 1 to 1000, got 0"),
        ({"ig_steps": 2.5}, "ig_steps is a whole number from 1 to 1000, got 2.5"),
        ({"ig_rule": "rihgt"}, "Unknown ig_rule 'rihgt'. Did you mean 'right'? Known: left, right"),
        ({"steps": 3}, "Unknown option 'steps'. Did you mean 'ig_steps'? Known: ig_steps, ig_rule"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    job = Job(tiny_model("gpt2"), token_batches(2), LOGIT_DIFF)
    with pytest.raises(OptionError) as error:
        attribute(job, "EAP-IG-inputs", **options)
    assert message in str(error.value)


def test_scores_that_are_all_zero_or_not_finite_are_refused() -> None:
    model, batches = tiny_model("gpt2"), token_batches(2)

    def times(factor: float) -> Metric:
        return replace(LOGIT_DIFF, function=lambda logits, *_: logits[:, 0, 0] * factor)

    for factor, message in ((0.0, "All scores are zero"), (float("nan"), "are not finite")):
        with pytest.raises(NumericalError, match=message):
            attribute(Job(model, batches, times(factor)), "EAP")
