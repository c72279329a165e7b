"""What pages show of evidence: tables of each kind in words, and the complement's curve.

A kind makes its tables itself (`Kind.tables`), of what a results file has. Files of other versions may
lack what these read, and have kinds of their own: of such, the lines that the run printed are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness_circuits.evidence import EVIDENCE, Kind
from harness_circuits.records.run import CurveRecord

UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)


def evidence_data(
    evidence: Mapping[str, Mapping[str, Any]], curves: Mapping[Any, CurveRecord] | None
) -> dict[str, Any]:
    """What is added to a page's data; nothing where there is no evidence.

    Args:
        evidence: By kind, as results files have it, each with its `summary`.
        curves: The curves that are shown, by ranking.
    """
    if not evidence:
        return {}
    return {
        "evidence": [_kind(name, found) for name, found in evidence.items()],
        "without": _complements(evidence.get("necessity", {}), curves or {}),
    }


def _kind(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """One kind: its tables, or its lines where there are none."""
    if name not in EVIDENCE:
        return {"kind": name, "says": "", "note": "", "tables": [], "lines": found["summary"]}
    kind = EVIDENCE.get(name)
    try:
        tables = [] if "why_not" in found else [one.to_dict() for one in kind.tables(found)]
    except UNREADABLE:
        tables = []
    tables = [one for one in tables if one["rows"]]
    return {
        "kind": name,
        "says": kind.description,
        "note": _note(kind, found),
        "tables": tables,
        "lines": [] if tables else found["summary"],
    }


def _note(kind: Kind, found: Mapping[str, Any]) -> str:
    parts = [f"95% intervals over {kind.intervals}." if kind.intervals else ""]
    parts.append(f"Without an interval: {kind.no_interval}." if kind.no_interval else "")
    left_out = found.get("resamples_without_spread")
    parts.append(f"{left_out} resamples have no spread, and are left out." if left_out else "")
    parts.append(f"Source: {kind.source}.")
    return " ".join(part for part in parts if part)


def _complements(
    necessity: Mapping[str, Any], curves: Mapping[Any, CurveRecord]
) -> dict[str, dict[str, list[float | None]]]:
    """Faithfulness without each circuit, where it is of the sizes that are shown."""
    found = {}
    for ranking, curve in curves.items():
        try:
            own = necessity["curves"][str(ranking)]
            columns = [
                [None if x is None else round(float(x), 5) for x in own[column]]
                for column in ("faithfulness", "ci95_low", "ci95_high")
            ]
            fits = tuple(own["sizes"]) == curve.sizes
        except UNREADABLE:
            continue
        if fits and {len(column) for column in columns} == {len(curve.sizes)}:
            found[str(ranking)] = dict(zip(("value", "low", "high"), columns, strict=True))
    return found
