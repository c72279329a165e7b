"""A comparison as Markdown, JSON or JUnit XML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness_circuits.report.comparison.compare import ALPHA, Comparison, Row
from harness_circuits.report.comparison.junit import comparison_junit
from harness_circuits.report.markdown import escape, interval_text, markdown_table, p_text

FORMATS = ("markdown", "json", "junit")


def comparison_text(comparison: Comparison, form: str, *, everything: bool) -> str:
    """A comparison in one of `FORMATS`; `everything` adds curve points that stayed the same."""
    if form == "json":
        return json.dumps(comparison_json(comparison), indent=2) + "\n"
    if form == "junit":
        return comparison_junit(comparison)
    return comparison_markdown(comparison, everything=everything)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain JSON."""
    return {
        "rows": [asdict(row) for row in comparison.rows],
        "missing": [run.label for run in comparison.missing],
        "added": [run.label for run in comparison.added],
        "changed": list(comparison.changed),
        "too_few": list(comparison.too_few),
        "notes": list(comparison.notes),
    }


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
        "Change is new minus old with its 95% interval; p is two-sided, by exchanging examples between "
        "the runs (unpaired: by dealing out the examples of both anew, or by the published intervals "
        "after Holm's correction), adjusted for the rows of a cell and for the number of cells; better "
        f"or worse: p at most {ALPHA:g} and a change beyond the threshold."
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
