"""Points of a path between replaced and clean embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers.reference import gate_gradient
from helpers.reference_cases import (
    CASES,
    Case,
    exact_case,
)

from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.scores import GRAPH_LEVELS
from harness_circuits.metrics.metrics import METRICS

LOGIT_DIFF = METRICS.get("logit_diff")
RULES = {  # (alpha, weight), written out for three steps
    "left": [(0, 1 / 3), (1 / 3, 1 / 3), (2 / 3, 1 / 3)],
    "midpoint": [(1 / 6, 1 / 3), (1 / 2, 1 / 3), (5 / 6, 1 / 3)],
    "right": [(1 / 3, 1 / 3), (2 / 3, 1 / 3), (1, 1 / 3)],
    "gausslegendre": [(0.5 - 0.15**0.5, 5 / 18), (0.5, 8 / 18), (0.5 + 0.15**0.5, 5 / 18)],
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    with exact_case(request.param) as found:
        yield found


def scores(case: Case, method: str, level: str, ablation: str, **options: Any) -> np.ndarray:
    job = Job(case.model, [case.batch], LOGIT_DIFF, level, case.ablation(ablation))  # type: ignore[arg-type]
    return attribute(job, method, **options).values


def expected(case: Case, level: str, ablation: str, alpha: float = 1.0) -> np.ndarray:
    return case.brute_force(gate_gradient, level, ablation, alpha=alpha)


def assert_same(got: np.ndarray, wanted: np.ndarray, tolerance: float = 1e-10) -> None:
    assert got.shape == wanted.shape
    assert np.abs(wanted).max() > 1e-3, "nothing to compare"
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


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
