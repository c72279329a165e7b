"""Markdown tables, intervals and p-values as text. Text from result files is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness_circuits.statistics.bootstrap import Interval

_SPECIAL = re.compile(r"([\\`*\[\]<>|&~#])")


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int) -> str:
    """A table; columns from `numbers_from` on are set flush right.

    Args:
        headers: Column titles, as plain text.
        rows: Cells, already Markdown.
        numbers_from: First column of numbers.
    """
    rule = ["---" if at < numbers_from else "---:" for at in range(len(headers))]
    lines = [[escape(title) for title in headers], rule, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def interval_text(interval: Interval, sign: str = "", digits: int = 3) -> str:
    """`0.81 [0.76, 0.86]`; without an interval of its own, the value only. `sign` may be `+`."""
    value = f"{interval.value:{sign}z.{digits}f}"
    if interval.low == interval.high:
        return value
    return f"{value} [{interval.low:{sign}z.{digits}f}, {interval.high:{sign}z.{digits}f}]"


def p_text(p: float | None) -> str:
    """A p-value with two digits, not smaller than can be told."""
    if p is None:
        return "unknown"
    return "<0.001" if p < 0.001 else f"{p:.3f}"
