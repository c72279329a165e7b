"""The one helper behind every change to lm-eval, and the change that stands aside."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.environments import ROOT

from harness_circuits.harness.patches import wrap_once

REGISTERED = """
import lm_eval.models
from lm_eval.api import registry
{before}
from harness_circuits.harness.patches import register_model
register_model(), register_model()
print(registry.model_registry._objs.get("circuit"))
"""
AS_0_4_14 = "registry.load_plugins = lambda group, registry: []"
NOT_DECLARED = (
    AS_0_4_14 + "\nfrom importlib import metadata\nmetadata.entry_points = lambda **_: []"
)
OURS = "harness_circuits.harness.lm:CircuitLM"


def doubling(original: Any, x: int, *, more: int = 0) -> Any:
    return 2 * original(x, more=more)


def test_functions_are_wrapped_once() -> None:
    def add(x: int, *, more: int = 0) -> int:
        """Adds."""
        return x + more

    owner = SimpleNamespace(add=add)
    for _ in range(3):
        wrap_once(owner, "add", doubling)
    assert owner.add(1, more=2) == 6
    assert (owner.add.__wrapped__, owner.add.__doc__) == (add, "Adds.")


def test_methods_get_their_object() -> None:
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def up(self, by: int) -> int:
            self.n += by
            return self.n

    def twice(original: Any, counter: Counter, by: int) -> Any:
        original(counter, by)
        return original(counter, by)

    for _ in range(2):
        wrap_once(Counter, "up", twice)
    assert Counter().up(3) == 6


@pytest.mark.parametrize(
    ("before", "found"), [("", OURS), (AS_0_4_14, "None"), (NOT_DECLARED, OURS)]
)
def test_the_model_is_left_to_entry_points_where_lm_eval_reads_them(
    before: str, found: str
) -> None:
    """With 0.4.13 we register it; with 0.4.14's entry points, and ours declared, lm-eval does."""
    result = subprocess.run(
        [sys.executable, "-c", REGISTERED.format(before=before)],
        env={**os.environ, "HARNESS_CIRCUITS_DISABLE_PLUGIN": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == found
