"""Sweeps: a grid of models, tasks, methods and settings, one lm-eval evaluation per cell."""

from typing import TYPE_CHECKING

from harness_circuits.registry import on_first_use

if TYPE_CHECKING:
    from harness_circuits.sweep.cell import Cell
    from harness_circuits.sweep.config import SweepConfig, read_config
    from harness_circuits.sweep.grid import make_grid
    from harness_circuits.sweep.plan import Plan, make_plan
    from harness_circuits.sweep.runner import Runner
    from harness_circuits.sweep.state import State
    from harness_circuits.sweep.view import View

__all__ = [
    "Cell",
    "Plan",
    "Runner",
    "State",
    "SweepConfig",
    "View",
    "make_grid",
    "make_plan",
    "read_config",
]

__getattr__ = on_first_use(
    __name__,
    {
        "Cell": "cell",
        "Plan": "plan",
        "Runner": "runner",
        "State": "state",
        "SweepConfig": "config",
        "View": "view",
        "make_grid": "grid",
        "make_plan": "plan",
        "read_config": "config",
    },
)
