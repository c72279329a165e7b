"""Markdown tables, and a comparison as Markdown. Text from result files is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness_circuits.report.comparison.compare import ALPHA, Comparison, Row
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
    value = f"{interval.value:{sign}.{digits}f}"
    if interval.low == interval.high:
        return value
    return f"{value} [{interval.low:{sign}.{digits}f}, {interval.high:{sign}.{digits}f}]"


def p_text(p: float | None) -> str:
    """A p-value with two digits, not smaller than can be told."""
    if p is None:
        return "unknown"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def comparison_markdown(comparison: Comparison, *, everything: bool = False) -> str:
    """Heading, counts, table and notes.

    Args:
        comparison: What to show.
        everything: Also show curve points that stayed the same.
    """
    shown = [row for row in comparison.rows if everything or _matters(row)]
    counts = [
        f"{len(found)} {verdict}"
        for verdict in ("worse", "better", "same", "unknown")
        if (found := comparison.with_verdict(verdict)) or verdict in ("worse", "better")
    ]
    counts += [f"{len(lost)} not compared"] if (lost := comparison.not_compared) else []
    parts = [f"### Circuit comparison: {', '.join(counts)}\n"]
    if shown:
        parts.append(_table(shown))
    hidden = len(comparison.rows) - len(shown)
    parts.append(
        f"Change is new minus old with its 95% interval; p is two-sided, after Holm's correction for "
        f"{len(comparison.rows)} rows; better or worse: p at most {ALPHA:g} and a change beyond the "
        f"threshold."
        + (f" {hidden} curve points that stayed the same are not shown.\n" if hidden else "\n")
    )
    for heading, lines in (
        ("Not compared", comparison.not_compared),
        (
            "Notes",
            (
                *(f"only among the new results: {run.label}" for run in comparison.added),
                *comparison.notes,
            ),
        ),
    ):
        if lines:
            parts.append(f"{heading}:\n\n" + "".join(f"- {escape(line)}\n" for line in lines))
    return "\n".join(parts)


def _matters(row: Row) -> bool:
    return row.verdict != "same" or " at " not in row.metric


def _table(rows: Sequence[Row]) -> str:
    headers = ["model", "task", "method", "metric", "verdict", "test"]
    headers += ["baseline", "current", "change", "adjusted p"]
    cells = [
        [
            escape(row.model),
            escape(row.task),
            escape(row.method),
            escape(row.metric),
            f"**{row.verdict}**" if row.verdict in ("better", "worse") else row.verdict,
            "paired" if row.paired else "unpaired",
            f"{row.old:.3f}",
            f"{row.new:.3f}",
            interval_text(row.difference.estimate, "+"),
            p_text(row.adjusted_p),
        ]
        for row in rows
    ]
    return markdown_table(headers, cells, numbers_from=6)
