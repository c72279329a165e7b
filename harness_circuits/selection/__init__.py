"""Selectors: one file each, all registered in `SELECTORS`."""

from harness_circuits.selection import top_n
from harness_circuits.selection.selectors import SELECTORS, Selector, select

__all__ = ["SELECTORS", "Selector", "select"]

del top_n
