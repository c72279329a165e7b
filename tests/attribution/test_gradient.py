"""Points of a path between replaced and clean embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from helpers.reference_cases import (
    CASES,
    Case,
    exact_case,
)
from helpers.reference_scores import RULES, assert_same, expected, scores

from harness_circuits.circuits.scores import GRAPH_LEVELS


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    with exact_case(request.param) as found:
        yield found


@pytest.mark.parametrize("name", ["llama-ungrouped", "gemma2-grouped"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("level", GRAPH_LEVELS)
def test_every_rule_has_its_points(name: str, rule: str, level: str) -> None:
    with exact_case(name) as case:
        got = scores(case, "EAP-IG-inputs", level, "patching", ig_steps=3, ig_rule=rule)
        points = [
            weight * expected(case, level, "patching", alpha) for alpha, weight in RULES[rule]
        ]
        assert_same(got, np.sum(points, axis=0))
