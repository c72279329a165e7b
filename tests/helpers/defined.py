"""Every combination of method, level and ablation that is defined, for tests of all methods.

It follows from what methods say of themselves, so that a new one is in all of these tests.
"""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

from harness_circuits.ablation import ABLATIONS
from harness_circuits.attribution import METHODS, check_method
from harness_circuits.circuits.scores import LEVELS, Level
from harness_circuits.errors import OptionError
from harness_circuits.metrics.metrics import METRICS


class Defined(NamedTuple):
    """One combination."""

    method: str
    level: Level
    ablation: str

    def __str__(self) -> str:
        return "-".join(self)


def _is_defined(item: Defined) -> bool:
    """Whether it is, for the members of an ensemble as well."""
    try:
        check_method(*item, METRICS.get("logit_diff"))
    except OptionError:
        return False
    return True


DEFINED = [
    item
    for item in (Defined(*parts) for parts in product(METHODS, LEVELS, ABLATIONS))
    if _is_defined(item)
]
BY_LEVEL = list(dict.fromkeys((name, level) for name, level, _ in DEFINED))
LEARNED = [name for name in METHODS if METHODS.get(name).learned]
UNIT_BY_UNIT = ("exact", "shapley", "ACDC")  # a run per unit
RUNS_THE_MODEL = [name for name in METHODS if name != "random"]


def few_steps(method: str) -> dict[str, Any]:
    """Options that make a method quick."""
    few: dict[str, Any] = {"ig_steps": 2, "gp_steps": 2, "permutations": 1, "antithetic": False}
    few |= {"tau_steps": 1, "steps": 2, "pairs_per_step": 2, "mask_samples": 3}
    return {name: few[name] for name in METHODS.get(method).options if name in few}
