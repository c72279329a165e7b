"""Selectors: one file each, all registered in `SELECTORS`."""

from harness_circuits.registry import import_all
from harness_circuits.selection.selectors import (
    SELECTORS,
    Selector,
    check_selection,
    check_selects_positions,
    select,
)

import_all(__name__, __path__)  # every file that registers a selector

__all__ = ["SELECTORS", "Selector", "check_selection", "check_selects_positions", "select"]
