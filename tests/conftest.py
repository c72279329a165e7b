"""Settings of all tests: Hypothesis has no clock here, as test machines are shared; little is learned."""

import pytest
from hypothesis import settings

settings.register_profile("repository", deadline=None, max_examples=60)
settings.load_profile("repository")


@pytest.fixture(autouse=True)
def few_steps_of_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ablation=optimal` is in every test of all ablations."""
    monkeypatch.setattr("harness_circuits.ablation.optimal.STEPS", 2)
    monkeypatch.setattr("harness_circuits.ablation.optimal.CHECKS", 1)
