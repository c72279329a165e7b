"""Selectors: one file each, all registered in `SELECTORS`."""

from harness_circuits.selection import bootstrap_filter, greedy, ilp, pnr, threshold, top_n
from harness_circuits.selection.selectors import SELECTORS, Selector, check_selection, select

__all__ = ["SELECTORS", "Selector", "check_selection", "select"]

del bootstrap_filter, greedy, ilp, pnr, threshold, top_n
